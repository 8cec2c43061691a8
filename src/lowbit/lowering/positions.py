"""Positions of largest values: int32 in memory, int64 where the user gets them."""

from __future__ import annotations

from lowbit.graph import Node
from lowbit.kernels.argmax.spec import ArgmaxSpec
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides, emit_copy, emit_to_rows

__all__ = ["lower_argmax"]


def lower_argmax(ctx: Lowering, node: Node) -> None:
    """Over the channels of the layout, to which another axis is moved first; from one number a pixel to the result's layout."""
    (source,), axis = node.inputs, node.attrs["axis"]
    shape = ctx.type(source).shape
    rank, x = len(shape), source
    if axis != (1 if rank == 4 else rank - 1):
        x = f"{node.name}.rows"
        emit_to_rows(ctx, node, source, axis, x)
    src = ctx.layouts[x]
    found = ctx.temporary(f"{node.name}.found", Layout(src.n, src.h, src.w, 1, 16, "i32"))
    spec = ArgmaxSpec(src=src, dst=ctx.layouts[found], least=node.attrs["least"])
    ctx.emit(node, spec, x=x, o=found)
    kept = [extent for index, extent in enumerate(shape) if index != axis]
    if x == source:
        strides = axis_strides((*shape[:axis], 1, *shape[axis + 1 :]), ctx.layouts[found])
        inner = [stride for index, stride in enumerate(strides) if index != axis]
    else:
        inner, pitch = [], 16
        for extent in reversed(kept):
            inner.insert(0, pitch)
            pitch *= extent
    outer = axis_strides(tuple(kept), ctx.layouts[node.name])
    emit_copy(ctx, node, found, node.name, list(zip(kept, inner, outer, strict=True)), fill=0)
