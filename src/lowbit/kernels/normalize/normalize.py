"""NormalizeSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.normalize.spec import NormalizeSpec
from lowbit.kernels.normalize.steps import Parameters, normalized, real_values
from lowbit.kernels.rows import channel_chunks, row_position
from lowbit.kernels.vectors import load, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: NormalizeSpec, target: Target) -> Any:
    """One row a unit; the numbers of sixteen channels stay in registers along it."""
    src, table, dst = spec.src, spec.table, spec.dst
    dtype, element = TIR_DTYPE[src.dtype], TIR_DTYPE[dst.dtype]
    integers = dtype != "float32"
    pointers = {
        "x": (dtype, src.elements),
        "r": ("float32", table.elements),
        "b": ("float32", dst.stride),
        "s": ("float32", 5 if integers else 2),
        "o": (element, dst.elements),
    }  # fmt: skip
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        p = Parameters(k.s, integers)
        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            for c0, valid in channel_chunks(src.stride, dst.stride):
                if not valid:
                    with TB.serial(dst.w) as x:
                        store(k.o, dst.offset(image, y, x, c0), splat(0, element) if integers else splat(0.0, element))
                    continue
                whole, part, factor = (TB.Bind(load(k.r, table.offset(image, 0, place, c0))) for place in range(3))
                shift = TB.Bind(load(k.b, c0))
                with TB.serial(dst.w) as x:
                    value = real_values(load_channels(k.x, src.offset(image, y, x, c0), valid), k.s, integers)
                    store(k.o, dst.offset(image, y, x, c0), normalized(p, value, whole, part, factor, shift, element, spec.sign))
    return k.func
