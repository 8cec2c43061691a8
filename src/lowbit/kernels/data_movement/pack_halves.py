"""PackHalvesSpec -> TensorIR: float32 as the sum of two bfloat16, apart."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.data_movement.spec import PackHalvesSpec
from lowbit.kernels.rows import channel_chunks
from lowbit.kernels.vectors import LANES, convert, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_NAN = 0x7FC0


def build(spec: PackHalvesSpec, target: Target) -> Any:
    """One row of the buffer, halo included, a unit; sixteen channels at a time."""
    src, dst = spec.src, spec.dst
    plane = dst.elements // 2
    pointers = {"x": ("float32", src.elements + LANES), "o": ("uint16", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as row, TB.serial(src.wp) as x:
        pixel = TB.Bind(row * src.wp + x)
        for first, valid in channel_chunks(src.c, dst.stride):
            at = TB.Bind(pixel * dst.stride + first)
            if not valid:
                for of in (0, plane):
                    store(k.o, at + of, splat(0, "uint16"))
                continue
            value = TB.Bind(load_channels(k.x, pixel * src.stride + first, valid))
            high = TB.Bind(_rounded(value))
            whole = T.reinterpret(f"float32x{LANES}", T.shift_left(convert(high, "uint32"), splat(16, "uint32")))
            store(k.o, at, high)
            store(k.o, at + plane, _rounded(TB.Bind(value - whole)))
    return k.func


def _rounded(value: Any) -> Any:
    """The bits of the nearest bfloat16, ties to even, in whole numbers: whatever the thread's mode of rounding is."""
    bits = T.reinterpret(f"uint32x{LANES}", value)
    odd = T.bitwise_and(T.shift_right(bits, splat(16, "uint32")), splat(1, "uint32"))
    near = T.shift_right(bits + splat(0x7FFF, "uint32") + odd, splat(16, "uint32"))  # more than 32 bits only of NaN
    return convert(T.Select(value == value, near, splat(_NAN, "uint32")), "uint16")
