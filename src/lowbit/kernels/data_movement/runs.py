"""RunsSpec -> TensorIR: copies (and rescales) of contiguous runs whose geometry is known at run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.data_movement.spec import RunsSpec
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.vectors import LANES, integer_result, load, operand, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_ANY = 1 << 30  # extent of a buffer whose size only the caller knows
_HEAD = 3  # entries of t before the dimensions


def build(spec: RunsSpec, target: Target) -> Any:
    """One step of the first dimension a unit.  A run is copied in the widest vectors that fit into it, the
    last one overlapping the one before (the same values are written twice); three nests, so that the
    choice is made once."""
    src, dst = TIR_DTYPE[spec.src], TIR_DTYPE[spec.dst]
    widest = LANES if spec.rescale else 64 // ELEMENT_BYTES[spec.src]
    pointers = {"x": (src, _ANY), "o": (dst, _ANY), "s": ("float32", 6), "t": ("int32", _HEAD + 3 * spec.depth)}
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        dims = [tuple(TB.Bind(k.t[_HEAD + 3 * i + j]) for j in range(3)) for i in range(spec.depth)]
        at_x, at_o, run = (TB.Bind(k.t[i]) for i in range(_HEAD))
        converted = _rescaled(spec, k) if spec.rescale else lambda value, lanes: value

        def nest(widths: tuple[int, ...]) -> None:
            width, *rest = widths

            def body() -> None:
                with TB.serial(k.lo, k.hi) as i:
                    _, a, b = dims[0]
                    _loops(dims[1:], at_x + i * a, at_o + i * b, lambda x, o: _run(k, run, width, x, o, converted))

            if not rest:
                return body()
            with TB.If(run >= width):
                with TB.Then():
                    body()
                with TB.Else():
                    nest(tuple(rest))
            return None

        nest(tuple(dict.fromkeys((widest, LANES, 1))))
    return k.func


def _rescaled(spec: RunsSpec, k: KernelFrame) -> Callable[[Any, int], Any]:
    """Stored element on one grid -> stored element on the other."""
    step, shift, factor, lo, hi = (TB.Bind(k.s[i]) for i in range(5))
    zero = TB.Bind(T.cast(k.s[5], "int32"))

    def converted(value: Any, lanes: int) -> Any:
        f = operand(value, step, shift, lanes) * splat(factor, "float32", lanes)
        return integer_result(f, lo, hi, zero, TIR_DTYPE[spec.dst], spec.sign, lanes)

    return converted


def _loops(dims: list[Any], at_x: Any, at_o: Any, body: Callable[[Any, Any], None]) -> None:
    if not dims:
        return body(at_x, at_o)
    (extent, src, dst), *rest = dims
    with TB.serial(T.int32(0), extent) as i:
        return _loops(rest, at_x + i * src, at_o + i * dst, body)


def _run(k: KernelFrame, run: Any, width: int, at_x: Any, at_o: Any, converted: Callable[[Any, int], Any]) -> None:
    with TB.serial(T.int32(0), T.truncdiv(run + (width - 1), T.int32(width))) as i:
        at = TB.Bind(T.min(i * width, run - width))
        store(k.o, at_o + at, converted(load(k.x, at_x + at, width), width), width)
