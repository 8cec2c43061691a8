"""Operations that only move data: strided copies, or no call at all."""

from __future__ import annotations

import math

import numpy as np

from lowbit.graph import Node
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides, emit_copy
from lowbit.lowering.stored import Stored
from lowbit.numerics import quantize

__all__ = ["lower_concat", "lower_pad", "lower_permute", "lower_reshape", "lower_slice"]


def _refine(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The coarsest shape that splits axes of both shapes, or None if their boundaries cross."""
    i, j, out = len(a) - 1, len(b) - 1, []
    x, y = (a[i] if a else 1), (b[j] if b else 1)
    while i >= 0 or j >= 0:
        if x == 1 and i >= 0:
            i -= 1
            x = a[i] if i >= 0 else 1
        elif y == 1 and j >= 0:
            j -= 1
            y = b[j] if j >= 0 else 1
        else:
            step = math.gcd(x, y)
            if step == 1 or (step != x and step != y):
                return None
            out.append(step)
            x, y = x // step, y // step
    return tuple(reversed(out))


def _strides_of(fine: tuple[int, ...], shape: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    """Strides of the axes of ``fine`` when ``shape`` (with ``strides``) is split into it."""
    out: list[int] = []
    axis, left, unit = len(shape) - 1, 0, 0
    for extent in reversed(fine):
        while left <= 1:
            left, unit = shape[axis], strides[axis]
            axis -= 1
        out.append(unit)
        left, unit = left // extent, unit * extent
    return out[::-1]


def lower_reshape(ctx: Lowering, node: Node) -> None:
    """Nothing where the pixels keep their place; one strided copy where axes split or merge; else
    two, through a flat buffer."""
    (source,), out = node.inputs, node.name
    src, dst = ctx.layouts[source], ctx.layouts[out]
    if not src.halo and not dst.halo and src.c == dst.c and src.stride == dst.stride and src.pixels == dst.pixels:
        ctx.alias(out, source)
        return
    a, b = ctx.type(source).shape, ctx.type(out).shape
    sa, sb = axis_strides(a, src), axis_strides(b, dst)
    fine = _refine(a, b)
    zero = ctx.stored(out).zero
    if fine is not None:
        dims = list(zip(fine, _strides_of(fine, a, sa), _strides_of(fine, b, sb), strict=True))
        emit_copy(ctx, node, source, out, dims, fill=zero)
        return
    flat = ctx.temporary(f"{out}.flat", Layout(1, 1, 1, math.prod(a), -(-math.prod(a) // 16) * 16, dst.dtype))
    dense_a = [math.prod(a[i + 1 :]) for i in range(len(a))]
    dense_b = [math.prod(b[i + 1 :]) for i in range(len(b))]
    emit_copy(ctx, node, source, flat, list(zip(a, sa, dense_a, strict=True)))
    emit_copy(ctx, node, flat, out, list(zip(b, dense_b, sb, strict=True)), fill=zero)


def lower_permute(ctx: Lowering, node: Node) -> None:
    (source,), order = node.inputs, node.attrs["dims"]
    shape = ctx.type(node.name).shape
    src = axis_strides(ctx.type(source).shape, ctx.layouts[source])
    dst = axis_strides(shape, ctx.layouts[node.name])
    dims = [(shape[i], src[order[i]], dst[i]) for i in range(len(shape))]
    emit_copy(ctx, node, source, node.name, dims, fill=ctx.stored(node.name).zero)


def lower_slice(ctx: Lowering, node: Node) -> None:
    (source,) = node.inputs
    shape = ctx.type(node.name).shape
    src = axis_strides(ctx.type(source).shape, ctx.layouts[source])
    dst = axis_strides(shape, ctx.layouts[node.name])
    dims = [(n, s * step, d) for n, s, step, d in zip(shape, src, node.attrs["steps"], dst, strict=True)]
    start = sum(s * first for s, first in zip(src, node.attrs["starts"], strict=True))
    emit_copy(ctx, node, source, node.name, dims, start, fill=ctx.stored(node.name).zero)


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
    """The stored element (for float32: its bits) that fills padding of this value."""
    if stored.quant is None:
        return int(np.float32(value).view(np.int32))
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
