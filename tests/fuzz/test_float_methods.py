"""Random cases of kind "methods" (float_methods.py): the float network stays, the integers are the oracle's."""

from __future__ import annotations

from tests.fuzz.daily import fuzz_today


def test_today() -> None:
    assert fuzz_today("methods", 60).rows
