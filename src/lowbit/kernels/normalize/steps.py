"""Expressions that the kernels of normalisations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.vectors import LANES, between, convert, fence, integer_result, load, operand, splat, store

__all__ = ["Parameters", "folded", "normalized", "real_values", "sums", "worked_out"]

_F64 = "float64"


class Parameters:
    """The scalars of ``s``, and whether values are integers."""

    def __init__(self, s: Any, integers: bool) -> None:
        self.s, self.integers = s, integers
        self.zero = TB.Bind(T.cast(s[4], "int32")) if integers else None


def real_values(stored: Any, s: Any, integers: bool) -> Any:
    """v of sixteen elements, float32, exact."""
    return operand(stored, s[0], s[1]) if integers else stored


def sums(narrow: bool) -> tuple[Callable[[Any], None], Callable[[], tuple[Any, Any]]]:
    """(add sixteen values, what sixteen lanes hold then): sums and sums of squares, in int32 where they fit (``narrow``), else in
    float64."""
    kind = "int32" if narrow else _F64
    first = TB.alloc_buffer((LANES,), kind, scope="global")
    second = TB.alloc_buffer((LANES,), kind, scope="global")
    for each in (first, second):
        store(each, 0, splat(0, kind) if narrow else splat(0.0, kind))

    def add(value: Any) -> None:
        v = TB.Bind(convert(value, kind))
        store(first, 0, load(first, 0) + v)
        store(second, 0, load(second, 0) + v * v)  # exact, with and without a fused multiply-add, of integers

    return add, lambda: (convert(load(first, 0), _F64), convert(load(second, 0), _F64))


def folded(lanes: Any) -> Any:
    """The sum of sixteen float64 lanes, in halves."""
    buffer = TB.alloc_buffer((LANES,), _F64, scope="global")
    store(buffer, 0, lanes)
    count = LANES
    while count > 1:
        count //= 2
        store(buffer, 0, load(buffer, 0, count) + load(buffer, count, count), count)
    return TB.Bind(buffer[0])


def _sqrt(value: Any) -> Any:
    return T.call_llvm_pure_intrin(_F64, "llvm.sqrt", value)


def worked_out(s1: Any, s2: Any, count: int, constants: Any, *, exact: bool, centred: bool, mean: bool) -> tuple[Any, Any, Any]:
    """(whole, part, inv) of LayerNormSpec, float32; s1, s2: float64 scalars."""
    n = T.float64(float(count))
    if exact:
        whole = TB.Bind(T.call_llvm_pure_intrin(_F64, "llvm.floor", s1 / n)) if centred else T.float64(0.0)
        rest = TB.Bind(s1 - n * whole) if centred else T.float64(0.0)
        q = s2 - whole * s1 * T.float64(2.0) + n * whole * whole if centred else s2
        variance = TB.Bind(q - _fenced(rest * rest) / n if centred else q)
        part = T.cast(rest / n, "float32")
    else:
        average = TB.Bind(s1 / n) if centred else T.float64(0.0)
        raw = TB.Bind(s2 - s1 * average) if centred else s2
        variance = TB.Bind(T.Select(raw < T.float64(0.0), T.float64(0.0), raw))
        whole = TB.Bind(T.cast(T.cast(average, "float32"), _F64))
        part = T.cast(average - whole, "float32")
    spread = variance / n if mean else variance
    root = TB.Bind(_sqrt(spread + constants[0]))
    floor = TB.Bind(constants[1])
    inverse = TB.Bind(T.cast(T.float64(1.0) / T.Select(root < floor, floor, root), "float32"))
    if exact:
        inverse = T.Select(variance > T.float64(0.0), inverse, T.float32(0.0))
    return TB.Bind(T.cast(whole, "float32")), TB.Bind(part), TB.Bind(inverse)


def _fenced(value: Any) -> Any:
    return T.call_llvm_pure_intrin(_F64, "llvm.arithmetic.fence", value)


def normalized(p: Parameters, value: Any, whole: Any, part: Any, factor: Any, shift: Any, dtype: str, sign: bool) -> Any:
    """The stored result of sixteen values v."""
    f = fence(((value - whole) - part) * factor) + shift
    if p.integers:
        return integer_result(f, p.s[2], p.s[3], p.zero, dtype, sign)
    return between(f, splat(p.s[0], "float32"), splat(p.s[1], "float32"))
