"""How vectors of each type are added in the transforms (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.vectors import splat, wrapping
from lowbit.kernels.winograd.transforms import Ring

__all__ = ["modular", "plain"]


def modular(dtype: str, lanes: int) -> Ring:
    """Integers modulo 2^bits; factors are powers of two."""

    def operation(op: str) -> Callable[[Any, Any], Any]:
        return lambda a, b: TB.Bind(wrapping(op, a, b, dtype, lanes))

    def times(a: Any, factor: int) -> Any:
        return TB.Bind(wrapping("shl", a, splat(factor.bit_length() - 1, dtype, lanes), dtype, lanes))

    return Ring(operation("add"), operation("sub"), times)


def plain(dtype: str, lanes: int) -> Ring:
    """float32, or integers that are proven not to overflow."""
    return Ring(
        lambda a, b: TB.Bind(a + b),
        lambda a, b: TB.Bind(a - b),
        lambda a, factor: TB.Bind(a * splat(factor if dtype != "float32" else float(factor), dtype, lanes)),
    )
