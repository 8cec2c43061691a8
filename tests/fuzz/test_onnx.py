"""Random cases of kind "onnx" (onnx_cases.py): written and imported again, exported by torch and run by onnxruntime."""

from __future__ import annotations

from tests.fuzz.daily import fuzz_today


def test_today() -> None:
    assert fuzz_today("onnx", 40).rows
