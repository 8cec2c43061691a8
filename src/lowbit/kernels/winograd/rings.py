"""How vectors of each type are added in the transforms (TensorIR).

TVM marks integer additions as free of overflow, which those modulo 2^32 and 2^8 are not: they are spelled as LLVM's
vector-predicated operations with all lanes on, which carry no such promise and become the same instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.vectors import splat
from lowbit.kernels.winograd.transforms import Ring

__all__ = ["plain", "wrapping", "wrapping_add", "wrapping_multiply"]


def _wrapping(op: str, a: Any, b: Any, dtype: str, lanes: int) -> Any:
    return T.call_llvm_pure_intrin(f"{dtype}x{lanes}", f"llvm.vp.{op}", a, b, T.broadcast(T.bool(True), lanes), T.int32(lanes))


def wrapping_add(a: Any, b: Any, lanes: int) -> Any:
    """int32 a + b modulo 2^32."""
    return _wrapping("add", a, b, "int32", lanes)


def wrapping_multiply(a: Any, factor: int, lanes: int) -> Any:
    """int32 a * factor modulo 2^32."""
    return _wrapping("mul", a, splat(factor, "int32", lanes), "int32", lanes)


def wrapping(dtype: str, lanes: int) -> Ring:
    """Integers modulo 2^bits; factors are powers of two."""

    def operation(op: str) -> Callable[[Any, Any], Any]:
        return lambda a, b: TB.Bind(_wrapping(op, a, b, dtype, lanes))

    def times(a: Any, factor: int) -> Any:
        return TB.Bind(_wrapping("shl", a, splat(factor.bit_length() - 1, dtype, lanes), dtype, lanes))

    return Ring(operation("add"), operation("sub"), times)


def plain(dtype: str, lanes: int) -> Ring:
    """float32, or integers that are proven not to overflow."""
    return Ring(
        lambda a, b: TB.Bind(a + b),
        lambda a, b: TB.Bind(a - b),
        lambda a, factor: TB.Bind(a * splat(factor if dtype != "float32" else float(factor), dtype, lanes)),
    )
