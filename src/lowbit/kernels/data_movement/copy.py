"""CopySpec -> TensorIR: strided copies, whole vectors where both sides are contiguous."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import spans
from lowbit.kernels.spec import CopySpec
from lowbit.kernels.vectors import load, store
from lowbit.targets import Target

__all__ = ["build", "merge"]


def merge(dims: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, int, int], ...]:
    """The same copy in fewer dimensions: (a, s, d), (b, t, e) with s = b*t and d = b*e are one
    (a*b, t, e).  The first dimension stays: it is the parallel loop.  Extents of 1 vanish."""
    merged: list[tuple[int, int, int]] = []
    for extent, src, dst in dims[1:]:
        if extent == 1:
            continue
        if merged and merged[-1][1] == extent * src and merged[-1][2] == extent * dst:
            merged[-1] = (merged[-1][0] * extent, src, dst)
        else:
            merged.append((extent, src, dst))
    return (dims[0], *merged)


def build(spec: CopySpec, target: Target) -> Any:
    """One step of the first dimension a unit."""
    dtype = TIR_DTYPE[spec.dtype]
    lanes = 64 // ELEMENT_BYTES[spec.dtype]
    outer, *inner = merge(spec.dims)

    with kernel_function(spec.symbol(target.name), x=(dtype, spec.src_elements), o=(dtype, spec.dst_elements)) as k:

        def walk(dims: list[tuple[int, int, int]], at_x: Any, at_o: Any) -> None:
            if not dims:
                store(k.o, at_o, load(k.x, at_x, 1), 1)
                return
            (extent, src, dst), *rest = dims
            if not rest and src == dst == 1:
                for i, width in spans(extent, lanes if extent >= lanes else 16):
                    store(k.o, at_o + i, load(k.x, at_x + i, width), width)
                return
            with TB.serial(extent) as i:
                walk(rest, at_x + i * src, at_o + i * dst)

        with TB.serial(k.lo, k.hi) as i:
            walk(inner, spec.src_offset + i * outer[1], spec.dst_offset + i * outer[2])
    return k.func
