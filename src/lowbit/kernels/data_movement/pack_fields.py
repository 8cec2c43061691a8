"""PackFieldsSpec -> TensorIR: several channels of one or two bits into a byte."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.data_movement.spec import PackFieldsSpec
from lowbit.kernels.vectors import LANES, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: PackFieldsSpec, target: Target) -> Any:
    """One row of the buffer, halo included, a unit; sixteen bytes at a time."""
    src, dst = spec.src, spec.dst
    rest = src.c - (spec.fields - 1) * dst.c  # channels of the last, shortest stretch
    whole = max(rest, 0) // LANES

    with kernel_function(spec.symbol(target.name), x=("uint8", src.elements + 64), o=("uint8", dst.elements)) as k:

        def pack(at_x: Any, at_o: Any, first: int | None) -> None:
            """Bytes from ``first`` on; None: all their channels exist."""
            packed = None
            for j in range(spec.fields):
                valid = LANES if first is None else min(src.c - j * dst.c - first, LANES)
                if valid > 0:
                    field = load_channels(k.x, at_x + j * dst.c, valid)
                    field = T.shift_left(field, splat(T.uint8(spec.shift + spec.bits * j), "uint8"))
                    packed = field if packed is None else packed | field
            store(k.o, at_o, packed)

        with TB.serial(k.lo, k.hi) as row, TB.serial(src.wp) as x:
            pixel = row * src.wp + x
            at_x, at_o = pixel * src.stride, pixel * dst.stride
            if whole:
                with TB.serial(whole) as i:
                    pack(at_x + i * LANES, at_o + i * LANES, None)
            for first in range(whole * LANES, dst.c, LANES):
                pack(at_x + first, at_o + first, first)
    return k.func
