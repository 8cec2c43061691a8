"""PackTapsSpec -> TensorIR: what each output pixel of a convolution reads, side by side."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.data_movement.spec import PackTapsSpec
from lowbit.kernels.rows import row_position, spans
from lowbit.kernels.vectors import load, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: PackTapsSpec, target: Target) -> Any:
    """One row of output pixels a unit; taps that lie side by side are copied at once."""
    src, dst, (kh, kw) = spec.src, spec.dst, spec.kernel
    merged = spec.dilation[1] == 1
    columns, run = (1, kw * src.c) if merged else (kw, src.c)
    pointers = {"x": ("uint8", src.elements), "o": ("uint8", dst.elements)}
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as unit:
        b, y = row_position(unit, dst)
        with TB.serial(dst.w) as x:
            to = TB.Bind(dst.offset(b, y, x, 0))
            top, left = y * spec.stride[0] - spec.padding[0], x * spec.stride[1] - spec.padding[1]
            first = TB.Bind(src.offset(b, top, left, 0))
            with TB.serial(kh) as ky, TB.serial(columns) as kx:
                tap = TB.Bind(first + (ky * spec.dilation[0] * src.wp + kx * spec.dilation[1]) * src.stride)
                place = TB.Bind(to + (ky * columns + kx) * T.int32(run))
                for at, lanes in spans(run, target.vector_bytes):
                    store(k.o, place + at, load(k.x, tap + at, lanes), lanes)
    return k.func
