"""LutSpec -> TensorIR: a table over every value an integer activation can take."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.elementwise.byte_table import ByteTable
from lowbit.kernels.elementwise.spec import LutSpec
from lowbit.kernels.rows import row_position, spans, walk_row
from lowbit.kernels.vectors import LANES, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: LutSpec, target: Target) -> Any:
    """One row a unit.  Bytes to bytes in registers where the rows are contiguous; else one by one."""
    src, dst = spec.src, spec.dst
    entries = 65536 if src.dtype == "i16" else 256
    element = TIR_DTYPE[dst.dtype]
    pointers = {"x": (TIR_DTYPE[src.dtype], src.elements), "w": (element, entries), "o": (element, dst.elements)}

    with kernel_function(spec.symbol(target.name), **pointers) as k:
        if src.dtype == dst.dtype == "u8" and src.stride == dst.stride:
            _bytes(spec, k, target)
        else:
            _one_by_one(spec, k)
    return k.func


def _bytes(spec: LutSpec, k: KernelFrame, target: Target) -> None:
    table = ByteTable(k.w, target)
    with TB.serial(k.lo, k.hi) as row:
        image, y = row_position(row, spec.dst)
        at_x, at_o = spec.src.offset(image, y, 0, 0), spec.dst.offset(image, y, 0, 0)
        for i, lanes in spans(spec.dst.w * spec.dst.stride, table.lanes):
            if lanes == table.lanes:
                store(k.o, at_o + i, table.lookup(load(k.x, at_x + i, lanes)), lanes)
            else:  # a row shorter than one vector
                store(k.o, at_o + i, k.w[T.cast(load(k.x, at_x + i, 1), "int32")], 1)


def _one_by_one(spec: LutSpec, k: KernelFrame) -> None:
    first = -32768 if spec.src.dtype == "i16" else 0
    element = TIR_DTYPE[spec.dst.dtype]
    with TB.serial(k.lo, k.hi) as row:
        for at_x, at_o, valid in walk_row(row, spec.src, spec.dst):
            for i in range(valid):
                store(k.o, at_o + i, k.w[T.cast(load(k.x, at_x + i, 1), "int32") - first], 1)
            if valid < LANES:
                with TB.serial(LANES - valid) as i:
                    store(k.o, at_o + valid + i, splat(0, element, 1), 1)
