"""PackBytesSpec -> TensorIR: the low and the high bytes of 16-bit numbers, apart."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.data_movement.spec import PackBytesSpec
from lowbit.kernels.rows import spans
from lowbit.kernels.vectors import convert, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: PackBytesSpec, target: Target) -> Any:
    """One row of the buffer, halo included, a unit: its elements follow one another in all three places."""
    src, dst = spec.src, spec.dst
    row, plane, most = src.wp * src.stride, src.elements, target.vector_bytes // 2
    pointers = {"x": ("int16", src.elements), "o": ("uint8", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as unit:
        for first, lanes in spans(row, most):
            at = TB.Bind(unit * row + first)
            value = TB.Bind(load(k.x, at, lanes))
            store(k.o, at, convert(value, "uint8", lanes), lanes)
            store(k.o, plane + at, convert(T.shift_right(value, splat(8, "int16", lanes)), "uint8", lanes), lanes)
    return k.func
