"""MomentsSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.normalize.spec import MomentsSpec
from lowbit.kernels.normalize.steps import real_values, sums
from lowbit.kernels.rows import channel_chunks, row_position
from lowbit.kernels.vectors import LANES, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: MomentsSpec, target: Target) -> Any:
    """One row a unit, sixteen channels at a time."""
    src, dst = spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    integers = dtype != "float32"
    narrow = dtype == "uint8" and src.w * 255 * 255 < 2**31
    pointers = {"x": (dtype, src.elements), "s": ("float32", 2), "o": ("float64", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as row:
        image, y = row_position(row, dst)
        for c0, valid in channel_chunks(src.stride, dst.stride):
            if not valid:
                for moment in range(2):
                    store(k.o, dst.offset(image, y, moment, c0), splat(0.0, "float64"))
                continue
            add, lanes = sums(narrow)
            with TB.serial(src.w) as x:
                stored = load_channels(k.x, src.offset(image, y, x, c0), min(valid, LANES))
                add(real_values(stored, k.s, integers))
            for moment, value in enumerate(lanes()):
                store(k.o, dst.offset(image, y, moment, c0), value)
    return k.func
