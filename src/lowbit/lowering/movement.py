"""Operations that only move data: strided copies, or no call at all."""

from __future__ import annotations

import itertools
import math

import numpy as np

from lowbit.graph import Node
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import Dim, axis_strides, channel_axis, emit_copy
from lowbit.lowering.gathering import emit_gather
from lowbit.lowering.stored import Stored
from lowbit.numerics import quantize

__all__ = [
    "lower_concat",
    "lower_expand",
    "lower_interleave",
    "lower_pad",
    "lower_permute",
    "lower_reshape",
    "lower_slice",
    "lower_take",
]


def _refine(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The coarsest shape, without extents of 1, that splits axes of both shapes (of equal counts), or None if
    their boundaries cross: boundaries are suffix products, and each must divide the next one."""
    bounds = sorted({math.prod(shape[i:]) for shape in (a, b) for i in range(len(shape) + 1)})
    if any(large % small for small, large in itertools.pairwise(bounds)):
        return None
    return tuple(large // small for small, large in itertools.pairwise(bounds))[::-1]


def _strides_of(fine: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    """Strides of the axes of ``fine`` when ``shape`` (with ``strides``) is split into it."""
    axes = [(extent, stride) for extent, stride in zip(shape, strides, strict=True) if extent > 1]
    out: list[int] = []
    left, unit = 1, 0
    for extent in reversed(fine):
        if left == 1:
            left, unit = axes.pop()
        out.append(unit)
        left, unit = left // extent, unit * extent
    return out[::-1]


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor without gaps, last axis fastest."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _flat(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements lie one behind the other in their logical order."""
    return all(n == 1 or stride == dense for n, stride, dense in zip(shape, strides, _dense(shape), strict=True))


def _common(a: tuple[int, ...], sa: tuple[int, ...], b: tuple[int, ...], sb: tuple[int, ...]) -> list[Dim] | None:
    """(extent, stride in ``a``, stride in ``b``) of axes that split both shapes: the address maps of both sides
    over the same logical order.  None where no such axes exist."""
    fine = _refine(a, b)
    if fine is not None:
        return list(zip(fine, _strides_of(fine, a, sa), _strides_of(fine, b, sb), strict=True))
    return [(math.prod(a), 1, 1)] if _flat(a, sa) and _flat(b, sb) else None


def lower_reshape(ctx: Lowering, node: Node) -> None:
    """Nothing where every element keeps its address; one strided copy where axes split or merge; else
    two, through a flat buffer."""
    (source,), out = node.inputs, node.name
    src, dst = ctx.layouts[source], ctx.layouts[out]
    a, b = ctx.type(source).shape, ctx.type(out).shape
    sa, sb = axis_strides(a, src), axis_strides(b, dst)
    dims = _common(a, sa, b, sb)
    same = dims is not None and all(from_ == to for _, from_, to in dims)
    if same and not src.halo and not dst.halo and src.elements == dst.elements and src.dtype == dst.dtype:
        ctx.alias(out, source)
        return
    zero = ctx.stored(out).zero
    if dims is not None:
        emit_copy(ctx, node, source, out, dims, fill=zero)
        return
    flat = ctx.temporary(f"{out}.flat", Layout(1, 1, 1, math.prod(a), -(-math.prod(a) // 16) * 16, dst.dtype))
    emit_copy(ctx, node, source, flat, list(zip(a, sa, _dense(a), strict=True)))
    emit_copy(ctx, node, flat, out, list(zip(b, _dense(b), sb, strict=True)), fill=zero)


def lower_permute(ctx: Lowering, node: Node) -> None:
    (source,), order = node.inputs, node.attrs["dims"]
    shape = ctx.type(node.name).shape
    src = axis_strides(ctx.type(source).shape, ctx.layouts[source])
    dst = axis_strides(shape, ctx.layouts[node.name])
    dims = [(shape[i], src[order[i]], dst[i]) for i in range(len(shape))]
    emit_copy(ctx, node, source, node.name, dims, fill=ctx.stored(node.name).zero)


def lower_expand(ctx: Lowering, node: Node) -> None:
    """A copy that does not move on in the source along the axes that are repeated."""
    (source,) = node.inputs
    given, shape = ctx.type(source).shape, ctx.type(node.name).shape
    src = axis_strides(given, ctx.layouts[source])
    dst = axis_strides(shape, ctx.layouts[node.name])
    dims = [(n, s if n == old else 0, d) for n, old, s, d in zip(shape, given, src, dst, strict=True)]
    emit_copy(ctx, node, source, node.name, dims, fill=ctx.stored(node.name).zero)


def lower_slice(ctx: Lowering, node: Node) -> None:
    (source,) = node.inputs
    shape = ctx.type(node.name).shape
    src = axis_strides(ctx.type(source).shape, ctx.layouts[source])
    dst = axis_strides(shape, ctx.layouts[node.name])
    dims = [(n, s * step, d) for n, s, step, d in zip(shape, src, node.attrs["steps"], dst, strict=True)]
    start = sum(s * first for s, first in zip(src, node.attrs["starts"], strict=True))
    emit_copy(ctx, node, source, node.name, dims, start, fill=ctx.stored(node.name).zero)


def lower_take(ctx: Lowering, node: Node) -> None:
    """Pieces that neighbour each other on both sides, copied as one."""
    (source,) = node.inputs
    src, dst = ctx.layouts[source], ctx.layouts[node.name]
    given, shape = list(ctx.type(source).shape), list(ctx.type(node.name).shape)
    indices = [range(size) if chosen is None else chosen for chosen, size in zip(node.attrs["indices"], given, strict=True)]
    channels = channel_axis(len(given))
    if given and node.attrs["indices"][channels] is None and src.stride == dst.stride:  # and what lies behind them
        indices[channels] = range(src.stride)
    axes = zip(indices, axis_strides(tuple(given), src), axis_strides(tuple(shape), dst), strict=True)
    emit_gather(ctx, node, source, node.name, [([i * a for i in chosen], b) for chosen, a, b in axes], ctx.stored(node.name).zero)


def lower_interleave(ctx: Lowering, node: Node) -> None:
    """Where an element of the result lies in the source is a sum of what its channel, its row and its column say."""
    (source,), (ph, pw), groups = node.inputs, node.attrs["phases"], node.attrs["groups"]
    given, shape = ctx.type(source).shape, ctx.type(node.name).shape
    n, channel, y, x = axis_strides(given, ctx.layouts[source])
    per_group = shape[1] // groups
    picture = per_group * channel  # from a phase to the next
    axes = (
        [k * n for k in range(shape[0])],
        [(g * ph * pw * per_group + o) * channel for g in range(groups) for o in range(per_group)],
        [phase * pw * picture + row * y for phase, row in node.attrs["rows"]],
        [phase * picture + column * x for phase, column in node.attrs["columns"]],
    )
    strides = axis_strides(shape, ctx.layouts[node.name])
    emit_gather(ctx, node, source, node.name, list(zip(axes, strides, strict=True)), ctx.stored(node.name).zero)


def lower_pad(ctx: Lowering, node: Node) -> None:
    (source,), value = node.inputs, float(node.attrs.get("value", 0.0))
    stored = ctx.stored(node.name)
    shape = ctx.type(source).shape
    src = axis_strides(shape, ctx.layouts[source])
    dst = axis_strides(ctx.type(node.name).shape, ctx.layouts[node.name])
    start = sum(d * first for d, first in zip(dst, node.attrs["before"], strict=True))
    dims = list(zip(shape, src, dst, strict=True))
    if ctx.layouts[node.name].halo and value:
        # the halo must stay zero: pad in a buffer without one, then copy
        inner = ctx.layouts[node.name].without_halo()
        plain = ctx.temporary(f"{node.name}.padded", inner)
        flat = axis_strides(ctx.type(node.name).shape, inner)
        first = sum(d * f for d, f in zip(flat, node.attrs["before"], strict=True))
        emit_copy(ctx, node, source, plain, list(zip(shape, src, flat, strict=True)), 0, first, _element(stored, value), True)
        dims = list(zip(ctx.type(node.name).shape, flat, dst, strict=True))
        emit_copy(ctx, node, plain, node.name, dims, fill=stored.zero)
        return
    emit_copy(ctx, node, source, node.name, dims, 0, start, _element(stored, value), True)


def _element(stored: Stored, value: float) -> int:
    """The stored element (of floats its bits) that fills padding of this value."""
    if stored.quant is None:
        element = stored.of(np.asarray(value)).reshape(1)
        return int(element.view(np.int16 if stored.dtype == "f16" else np.int32)[0])
    return int(stored.of(quantize(np.float32(value), stored.quant)))


def lower_concat(ctx: Lowering, node: Node) -> None:
    """Each input into its slice of the output, rescaled on the way where its grid differs."""
    axis, out = node.attrs["axis"], node.name
    dst, to = axis_strides(ctx.type(out).shape, ctx.layouts[out]), ctx.stored(out)
    position = 0
    for source in node.inputs:
        shape, given = ctx.type(source).shape, ctx.type(source).quant
        other = to if to.quant is not None and given is not None and not given.same_grid(to.quant) else None
        dims = list(zip(shape, axis_strides(shape, ctx.layouts[source]), dst, strict=True))
        emit_copy(ctx, node, source, out, dims, 0, position * dst[axis], fill=to.zero, rescale=other)
        position += shape[axis]
