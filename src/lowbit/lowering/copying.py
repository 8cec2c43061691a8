"""Strided copies between layouts: the one way that data moves."""

from __future__ import annotations

import math

import numpy as np

from lowbit.graph import Node
from lowbit.kernels.data_movement.spec import CopySpec, RunsSpec
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import NULL
from lowbit.lowering.stored import Stored
from lowbit.numerics import multiplier

__all__ = ["Dim", "axis_strides", "channel_axis", "emit_copy", "emit_from_rows", "emit_to_rows", "row_layout"]


def axis_strides(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Element stride of every logical axis of a tensor in its layout."""
    n, y, x = layout.hp * layout.wp * layout.stride, layout.wp * layout.stride, layout.stride
    if len(shape) == 4:
        return n, 1, y, x
    if len(shape) <= 3:
        return (n, x, 1)[3 - len(shape) :] if len(shape) != 2 else (n, 1)
    lead = [n] * (len(shape) - 3)
    for i in range(len(lead) - 2, -1, -1):
        lead[i] = lead[i + 1] * shape[i + 1]
    return (*lead, y, x, 1)


def channel_axis(rank: int) -> int:
    """The logical axis whose elements lie side by side."""
    return 1 if rank == 4 else rank - 1


Dim = tuple[int, int, int]  # extent, source stride, destination stride
_BLOCK = 4096  # elements of a unit where all of a copy is one run
_ENOUGH = 16  # units that keep the threads busy


def _joined(dims: list[Dim]) -> list[Dim]:
    """The same copy in the fewest loops, stores walking memory: dimensions are ordered by destination
    stride, and joined where both sides continue without a gap; extents of 1 vanish."""
    joined: list[Dim] = []
    for extent, a, b in sorted((d for d in dims if d[0] > 1), key=lambda d: (-d[2], -d[1])):
        if joined and joined[-1][1] == a * extent and joined[-1][2] == b * extent:
            joined[-1] = (joined[-1][0] * extent, a, b)
        else:
            joined.append((extent, a, b))
    return joined


def _transposes(dims: list[Dim]) -> bool:
    """Whether neighbours on one side are none on the other."""
    return any((a == 1) != (b == 1) for _, a, b in dims)


def _runs(dims: list[Dim]) -> tuple[list[Dim], int]:
    """(dimensions, run) of a copy of contiguous runs, of one element if need be; the first dimension is
    long enough to be shared among threads."""
    run = 1
    if dims and dims[-1][1] == dims[-1][2] == 1:
        *dims, (run, _, _) = dims
    if not dims:
        block = math.gcd(run, _BLOCK)
        return ([(run // block, block, block)], block) if block >= 64 else ([(1, 0, 0)], run)
    first = next((d for d in dims if d[0] >= _ENOUGH), max(dims))
    return [first, *(d for d in dims if d is not first)], run


def _split(dims: list[Dim]) -> list[Dim]:
    """A single long dimension in blocks: units of one element would cost more than the copy."""
    if len(dims) > 1 or dims[0][0] <= 64:
        return dims
    (extent, a, b), block = dims[0], math.gcd(dims[0][0], _BLOCK)
    return [(extent // block, a * block, b * block), (block, a, b)]


def emit_copy(
    ctx: Lowering,
    node: Node,
    source: str,
    out: str,
    dims: list[Dim],
    src_offset: int = 0,
    dst_offset: int = 0,
    fill: int = 0,
    fill_whole: bool | None = None,
    rescale: Stored | None = None,
) -> None:
    """Copy elements; offsets are in elements from the first interior element of each layout.

    The destination is filled first where the copy does not cover its physical channels.  ``rescale``: the
    destination's form where its grid is another; channels must then be channels on both sides.
    """
    src, dst = ctx.layouts[source], ctx.layouts[out]
    whole = dst.stride != dst.c if fill_whole is None else fill_whole
    begin = src_offset + src.offset(0, 0, 0, 0), dst_offset + dst.offset(0, 0, 0, 0)
    joined = _joined(dims)
    if rescale is None and _transposes(joined):
        spec = CopySpec(
            dtype=dst.dtype,
            dims=tuple(_split(joined)),
            src_offset=begin[0],
            dst_offset=begin[1],
            src_elements=src.elements,
            dst_elements=dst.elements,
        )
        ctx.emit(node, spec, x=source, o=out, fill=fill, fill_whole=whole)
        return
    loops, run = _runs(joined)
    s = NULL
    if rescale is not None and rescale.quant is not None:
        given, qtype = ctx.stored(source), rescale.quant.qtype
        s = ctx.constants.floats(*given.operand, multiplier(given.scale, rescale.scale), rescale.result(qtype.qmin, qtype.qmax))
    t = ctx.tables.add(np.array([*begin, run, *(value for dim in loops for value in dim)], np.int32))
    runs_spec = RunsSpec(
        src=src.dtype, dst=dst.dtype, depth=len(loops), rescale=rescale is not None, sign=rescale is not None and rescale.sign
    )
    ctx.emit(node, runs_spec, x=source, o=out, s=s, t=t, extent=loops[0][0], fill=fill, fill_whole=whole)


def row_layout(shape: tuple[int, ...], axis: int, dtype: str) -> Layout:
    """Layout of a tensor whose ``axis`` has become the channels and all others, in order, the pixels."""
    channels = shape[axis]
    return Layout(1, 1, math.prod(shape) // max(channels, 1), channels, -(-channels // 16) * 16, dtype)


def _row_dims(shape: tuple[int, ...], axis: int, strides: tuple[int, ...], rows: Layout) -> list[tuple[int, int, int]]:
    """(extent, stride in the tensor, stride in the rows) of every axis."""
    dims, pitch = [], rows.stride
    for i in range(len(shape) - 1, -1, -1):
        dims.append((shape[i], strides[i], 1 if i == axis else pitch))
        if i != axis:
            pitch *= shape[i]
    return dims[::-1]


def emit_to_rows(ctx: Lowering, node: Node, source: str, axis: int, out: str) -> None:
    """Copy ``source`` so that ``axis`` becomes the channels of the temporary buffer ``out``."""
    shape = ctx.type(source).shape
    ctx.temporary(out, row_layout(shape, axis, ctx.layouts[source].dtype))
    strides = axis_strides(shape, ctx.layouts[source])
    emit_copy(ctx, node, source, out, _row_dims(shape, axis, strides, ctx.layouts[out]))


def emit_from_rows(ctx: Lowering, node: Node, rows: str, axis: int) -> None:
    """Copy the temporary buffer ``rows`` back to the node's own layout."""
    shape, layout = ctx.type(node.name).shape, ctx.layouts[node.name]
    dims = [(n, b, a) for n, a, b in _row_dims(shape, axis, axis_strides(shape, layout), ctx.layouts[rows])]
    emit_copy(ctx, node, rows, node.name, dims, fill=ctx.stored(node.name).zero)
