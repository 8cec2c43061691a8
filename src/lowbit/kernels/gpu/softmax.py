"""SoftmaxSpec of integers for GPUs: a warp for each pixel.  Sums of the table's entries are exact in any order.

Floats are computed as on CPUs, a thread a pixel (spread.py)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.graph.logarithm import FRACTION_BITS, logarithms
from lowbit.kernels.abi import TIR_DTYPE
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.warp import each_element, one_row, reduced, rows_of
from lowbit.kernels.gpu.words import added, divided_by, multiplied, stored_result, subtracted
from lowbit.kernels.rows import divided
from lowbit.kernels.softmax import schedule
from lowbit.kernels.softmax.logarithm import fixed_logarithm
from lowbit.kernels.softmax.spec import SoftmaxSpec
from lowbit.targets import Target

__all__ = ["build"]

_LOWEST = {"u8": 0, "i16": -32768}
_ENTRIES = {"u8": 256, "i16": 65536}


def build(spec: SoftmaxSpec, target: Target) -> Any:
    src, dst = spec.src, spec.dst
    if src.dtype not in _LOWEST:
        return schedule.build(spec, target)
    element, log = TIR_DTYPE[dst.dtype], spec.log
    pointers = {
        "x": (TIR_DTYPE[src.dtype], src.elements),
        "w": ("int32", _ENTRIES[src.dtype]),
        "s": ("float32", 4 + log),
        "t": ("int32", len(logarithms()) + 1),
        "o": (element, dst.elements),
    }
    with gpu_kernel(spec.symbol(target.name), rows_of(dst.pixels), **pointers) as k, one_row(k, dst.pixels) as (pixel, lane):
        row, x = divided(pixel, dst.w)
        image, y = divided(row, dst.h)
        at_x, at_o = TB.Bind(src.offset(image, y, x, 0)), TB.Bind(dst.offset(image, y, x, 0))
        found = TB.alloc_buffer((2,), "int32", scope="local")  # the largest, the sum
        TB.buffer_store(found, T.int32(_LOWEST[src.dtype]), [0])
        TB.buffer_store(found, T.int32(0), [1])
        with each_element(lane, src.c) as c:
            TB.buffer_store(found, T.max(found[0], T.cast(k.x[at_x + c], "int32")), [0])
        top = reduced(found[0], T.max)
        with each_element(lane, src.c) as c:
            TB.buffer_store(found, found[1] + k.w[top - T.cast(k.x[at_x + c], "int32")], [1])
        total = TB.Bind(T.cast(reduced(found[1], lambda a, b: a + b), "float32"))
        behind = None
        if log:
            fixed = T.cast(fixed_logarithm(k.t, total), "float32")
            behind = TB.Bind(multiplied(fixed, T.float32(2.0**-FRACTION_BITS)))
        with each_element(lane, dst.stride) as c, TB.If(c < dst.c):
            with TB.Then():
                distance = TB.Bind(top - T.cast(k.x[at_x + c], "int32"))
                if behind is not None:
                    f = multiplied(T.cast(distance, "float32"), k.s[4])
                    f = subtracted(T.float32(0), added(f, behind))
                else:
                    f = divided_by(T.cast(k.w[distance], "float32"), total)
                f = TB.Bind(f)
                if element != "float32":
                    f = f if spec.sign else TB.Bind(multiplied(f, k.s[0]))
                    f = stored_result(f, k.s[1], k.s[2], T.cast(k.s[3], "int32"), element, spec.sign)
                TB.buffer_store(k.o, f, [at_o + c])
            with TB.Else():
                TB.buffer_store(k.o, getattr(T, element)(0), [at_o + c])
    return k.func
