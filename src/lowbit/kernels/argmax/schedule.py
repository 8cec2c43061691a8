"""ArgmaxSpec -> TensorIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.argmax.spec import ArgmaxSpec
from lowbit.kernels.rows import row_position
from lowbit.kernels.vectors import LANES, larger, load, smaller, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_NOWHERE = 2**31 - 1


def build(spec: ArgmaxSpec, target: Target) -> Any:
    """One row a unit, pixel by pixel: first the largest value, then the first position of it, both over whole vectors; the last
    one overlaps its neighbour, which changes neither."""
    src, dst = spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    beyond = smaller if spec.least else larger
    lanes = LANES if src.c >= LANES else 1
    steps = -(-src.c // lanes)
    pointers = {"x": (dtype, src.elements), "o": ("int32", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as row:
        image, y = row_position(row, src)
        with TB.serial(dst.w) as x:
            at = TB.Bind(src.offset(image, y, x, 0))
            best = TB.alloc_buffer((lanes,), dtype, scope="global")
            store(best, 0, load(k.x, at, lanes), lanes)
            with TB.serial(steps) as i:
                start = T.min(i * lanes, T.int32(src.c - lanes))
                store(best, 0, beyond(load(best, 0, lanes), load(k.x, at + start, lanes), dtype, lanes), lanes)
            _fold(best, lanes, lambda a, b, half: beyond(a, b, dtype, half))
            top = TB.Bind(best[0])
            first = TB.alloc_buffer((lanes,), "int32", scope="global")
            store(first, 0, splat(_NOWHERE, "int32", lanes), lanes)
            with TB.serial(steps) as i:
                start = T.min(i * lanes, T.int32(src.c - lanes))
                place = start if lanes == 1 else T.ramp(start, 1, lanes)
                value = TB.Bind(load(k.x, at + start, lanes))
                found = T.Select(value == splat(top, dtype, lanes), place, splat(_NOWHERE, "int32", lanes))
                if dtype == "float32":  # where one is NaN, so is the top, which nothing equals
                    found = T.Select(_is_nan(value, lanes), place, found)
                store(first, 0, T.min(load(first, 0, lanes), found), lanes)
            _fold(first, lanes, lambda a, b, half: T.min(a, b))
            store(k.o, dst.offset(image, y, x, 0), first[0], 1)
    return k.func


def _is_nan(value: Any, lanes: int) -> Any:
    """By the bits: TVM takes a value to be equal to itself."""
    kind = "int32" if lanes == 1 else f"int32x{lanes}"
    return (T.reinterpret(kind, value) & splat(0x7FFFFFFF, "int32", lanes)) > splat(0x7F800000, "int32", lanes)


def _fold(buffer: Any, lanes: int, operation: Callable[[Any, Any, int], Any]) -> None:
    """Reduce a power of two of elements in halves, to the first."""
    while lanes > 1:
        lanes //= 2
        store(buffer, 0, operation(load(buffer, 0, lanes), load(buffer, lanes, lanes), lanes), lanes)
