"""LutSpec for GPUs: four elements a thread."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE
from lowbit.kernels.elementwise.spec import LutSpec
from lowbit.kernels.gpu.function import gpu_kernel, threads_of
from lowbit.kernels.rows import divided
from lowbit.targets import Target

__all__ = ["build"]

_EACH = 4


def build(spec: LutSpec, target: Target) -> Any:
    """Thread i computes channels 4 (i mod stride / 4) .. + 3 of pixel i / (stride / 4); 0 in channels that the source lacks."""
    src, dst = spec.src, spec.dst
    first, entries = (-32768, 65536) if src.dtype == "i16" else (0, 256)
    element, groups = TIR_DTYPE[dst.dtype], dst.stride // _EACH
    pointers = {"x": (TIR_DTYPE[src.dtype], src.elements), "w": (element, entries), "o": (element, dst.elements)}
    total = dst.pixels * groups
    with gpu_kernel(spec.symbol(target.name), threads_of(total), **pointers) as k, k.one_of(total) as index:
        pixel, group = divided(index, groups)
        row, x = divided(pixel, dst.w)
        image, y = divided(row, dst.h)
        at_x, at_o = (TB.Bind(at.offset(image, y, x, group * _EACH)) for at in (src, dst))
        for i in range(_EACH):
            with TB.If(group * _EACH + i < src.stride):
                with TB.Then():
                    TB.buffer_store(k.o, k.w[T.cast(k.x[at_x + i], "int32") - first], [at_o + i])
                with TB.Else():
                    TB.buffer_store(k.o, getattr(T, element)(0), [at_o + i])
    return k.func
