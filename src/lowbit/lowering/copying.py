"""Strided copies between layouts: the one way that data moves."""

from __future__ import annotations

import math

from lowbit.graph import Node
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import CopySpec
from lowbit.lowering.context import Lowering

__all__ = ["axis_strides", "emit_copy", "emit_from_rows", "emit_to_rows", "row_layout"]


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


def emit_copy(
    ctx: Lowering,
    node: Node,
    source: str,
    out: str,
    dims: list[tuple[int, int, int]],
    src_offset: int = 0,
    dst_offset: int = 0,
    fill: int = 0,
    fill_whole: bool | None = None,
) -> None:
    """Copy elements; offsets are in elements from the first interior element of each layout.

    The destination is filled first where the copy does not cover its physical channels.
    """
    src, dst = ctx.layouts[source], ctx.layouts[out]
    kept = [d for d in dims if d[0] > 1] or [(1, 0, 0)]
    merged = [kept[0]]
    for extent, a, b in kept[1:]:  # join loops that walk memory without a gap on both sides
        pe, pa, pb = merged[-1]
        if pa == a * extent and pb == b * extent:
            merged[-1] = (pe * extent, a, b)
        else:
            merged.append((extent, a, b))
    if len(merged) == 1 and merged[0][0] > 64:  # the first loop is the parallel one: keep it short
        extent, a, b = merged[0]
        block = math.gcd(extent, 4096)
        merged = [(extent // block, a * block, b * block), (block, a, b)] if block > 1 else merged
    spec = CopySpec(
        dst.dtype, tuple(merged), src_offset + src.offset(0, 0, 0, 0), dst_offset + dst.offset(0, 0, 0, 0),
        src.elements, dst.elements,
    )  # fmt: skip
    whole = dst.stride != dst.c if fill_whole is None else fill_whole
    ctx.emit(node, spec, x=source, o=out, fill=fill, fill_whole=whole)


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
