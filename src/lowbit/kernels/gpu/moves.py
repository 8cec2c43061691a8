"""Copies and conversions of the user's tensors for GPUs: an element a thread, in the order in which they are written."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE
from lowbit.kernels.data_movement.spec import CopySpec, InputSpec, OutputSpec
from lowbit.kernels.gpu.function import gpu_kernel, threads_of
from lowbit.kernels.gpu.halves import loaded, stored
from lowbit.kernels.gpu.words import added, divided_by, multiplied, stored_result
from lowbit.kernels.rows import divided
from lowbit.targets import Target

__all__ = ["copy", "output", "stored_input"]


def _coordinates(index: Any, extents: list[int]) -> list[Any]:
    """Of element ``index`` of an array of these extents, the last one fastest."""
    found: list[Any] = []
    for extent in reversed(extents[1:]):
        index, rest = divided(index, extent) if extent > 1 else (index, T.int32(0))
        found.append(rest)
    return [index, *reversed(found)]


def copy(spec: CopySpec, target: Target) -> Any:
    """CopySpec."""
    dtype, dims = TIR_DTYPE[spec.dtype], sorted(spec.dims, key=lambda dim: -dim[2])
    count = prod(extent for extent, _, _ in dims)
    pointers = {"x": (dtype, spec.src_elements), "o": (dtype, spec.dst_elements)}
    with gpu_kernel(spec.symbol(target.name), threads_of(count), **pointers) as k, k.one_of(count) as index:
        at_x, at_o = T.int32(spec.src_offset), T.int32(spec.dst_offset)
        for i, (_, src, dst) in zip(_coordinates(index, [dim[0] for dim in dims]), dims, strict=True):
            at_x, at_o = at_x + i * src, at_o + i * dst
        TB.buffer_store(k.o, k.x[at_x], [at_o])
    return k.func


def stored_input(spec: InputSpec, target: Target) -> Any:
    """InputSpec."""
    dst, (sn, sh, sw, sc) = spec.dst, spec.strides
    extent = 1 + (dst.n - 1) * sn + (dst.h - 1) * sh + (dst.w - 1) * sw + (dst.c - 1) * sc
    dtype, count = TIR_DTYPE[dst.dtype], dst.pixels * dst.stride
    pointers = {"x": ("float32", extent), "s": ("float32", 4), "o": (dtype, dst.elements)}
    with gpu_kernel(spec.symbol(target.name), threads_of(count), **pointers) as k, k.one_of(count) as index:
        image, y, x, c = _coordinates(index, [dst.n, dst.h, dst.w, dst.stride])
        value = k.x[image * sn + y * sh + x * sw + c * sc]
        if dst.stride > dst.c:
            value = T.if_then_else(c < dst.c, value, T.float32(0))
        value = TB.Bind(value)
        if dst.dtype == "f16":
            value = stored(value)
        elif dtype != "float32":
            value = TB.Bind(value if spec.sign else divided_by(value, k.s[0]))
            value = stored_result(value, k.s[1], k.s[2], T.cast(k.s[3], "int32"), dtype, spec.sign)
        TB.buffer_store(k.o, value, [dst.offset(image, y, x, c)])
    return k.func


def output(spec: OutputSpec, target: Target) -> Any:
    """OutputSpec."""
    src, strides = spec.src, spec.strides
    extents = [src.n, src.h, src.w, src.c]
    order = sorted(range(4), key=lambda axis: -strides[axis])
    dtype = TIR_DTYPE[src.dtype]
    given, count = "int64" if dtype == "int32" else "float32", prod(extents)
    size = 1 + sum((extent - 1) * stride for extent, stride in zip(extents, strides, strict=True))
    pointers = {"x": (dtype, src.elements), "s": ("float32", 3), "o": (given, size)}
    with gpu_kernel(spec.symbol(target.name), threads_of(count), **pointers) as k, k.one_of(count) as index:
        at = dict(zip(order, _coordinates(index, [extents[axis] for axis in order]), strict=True))
        value = k.x[src.offset(at[0], at[1], at[2], at[3])]
        if dtype == "int32":
            value = T.cast(value, given)
        elif src.dtype == "f16":
            value = loaded(value)
        elif dtype != "float32":
            value = multiplied(added(multiplied(T.cast(value, "float32"), k.s[0]), k.s[1]), k.s[2])
        TB.buffer_store(k.o, value, [sum(at[axis] * strides[axis] for axis in range(4))])
    return k.func
