"""Scalars of float32 as kernels of GPUs say them: each operation rounds once, whatever a compiler would contract."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

__all__ = ["added", "clamped", "divided_by", "multiplied", "rounded", "stored_result", "subtracted"]


def _call(name: str, *args: Any, result: str = "float32") -> Any:
    return T.call_pure_extern(result, name, *args)


def multiplied(a: Any, b: Any) -> Any:
    """a * b"""
    return _call("__fmul_rn", a, b)


def added(a: Any, b: Any) -> Any:
    """a + b"""
    return _call("__fadd_rn", a, b)


def subtracted(a: Any, b: Any) -> Any:
    """a - b"""
    return _call("__fsub_rn", a, b)


def divided_by(a: Any, b: Any) -> Any:
    """a / b, IEEE."""
    return _call("__fdiv_rn", a, b)


def rounded(a: Any) -> Any:
    """rint, half to even, as int32."""
    return _call("__float2int_rn", a, result="int32")


def clamped(value: Any, lo: Any, hi: Any) -> Any:
    """min(max(value, lo), hi); NaN becomes lo (kernels/vectors.py, ``clamp``)."""
    value = T.Select(value > lo, value, lo)
    return T.Select(value < hi, value, hi)


def stored_result(f: Any, lo: Any, hi: Any, zero: Any, dtype: str, sign: bool) -> Any:
    """Stored element of a real value f in units of the output scale (kernels/spec.py)."""
    if sign:
        return T.cast(f >= T.float32(0), dtype)
    return T.cast(rounded(clamped(f, lo, hi)) + zero, dtype)
