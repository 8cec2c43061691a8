"""Random cases of kind "graph" (cases.py): every pair of oracles agrees."""

from __future__ import annotations

from tests.fuzz.daily import fuzz_today


def test_today() -> None:
    assert fuzz_today("graph", 300).rows
