"""Elementwise operations: arithmetic, tables, softmax."""

from __future__ import annotations

import math

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Node
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.layout import Layout, canonical_shape
from lowbit.kernels.spec import BinarySpec, CopySpec, LutSpec, SoftmaxSpec, UnarySpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import NULL, Ref
from lowbit.lowering.stored import Stored
from lowbit.numerics import multiplier

__all__ = ["emit_rescale", "float_bounds", "lower_affine", "lower_binary", "lower_clamp", "lower_softmax", "lower_unary"]


def float_bounds(node: Node) -> tuple[float, float]:
    """Fused clamp of a float result; unbounded sides are infinite."""
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    return (-math.inf if lo is None else float(lo)), (math.inf if hi is None else float(hi))


def emit_rescale(ctx: Lowering, node: Node, source: str, out: str, to: Stored, qlo: int, qhi: int) -> None:
    """out = requantize(q - zero_point, s_in / s_out): the same value on another grid."""
    given = ctx.stored(source)
    spec = BinarySpec("rescale", ctx.layouts[source], None, ctx.layouts[out], sign=to.sign)
    s = ctx.constants.floats(*given.operand, multiplier(given.scale, to.scale), 0, 0, 0, to.result(qlo, qhi))
    ctx.emit(node, spec, x=source, o=out, s=s, fill=to.zero)


def lower_clamp(ctx: Lowering, node: Node) -> None:
    (source,), stored = node.inputs, ctx.stored(node.name)
    if stored.quant is None:
        s = ctx.constants.floats(*float_bounds(node))
        ctx.emit(node, UnarySpec("clamp", ctx.layouts[source], ctx.layouts[node.name]), x=source, o=node.name, s=s, fill=0)
    else:
        emit_rescale(ctx, node, source, node.name, stored, node.attrs["qlo"], node.attrs["qhi"])


def _per_channel(ctx: Lowering, values: np.ndarray, layout: Layout) -> Ref:
    padded = np.zeros(layout.stride, np.float32)
    padded[: layout.c] = np.asarray(values, np.float32).reshape(-1)
    return ctx.constants.add(padded)


def lower_affine(ctx: Lowering, node: Node) -> None:
    """Per-channel multiply and add; the constants are in units of the output scale (integer graphs)."""
    source, scale, shift = node.inputs
    layout, stored = ctx.layouts[node.name], ctx.stored(node.name)
    if len(ctx.type(source).shape) != 4 and ctx.type(source).shape[1:2] != (layout.c,):
        raise UnsupportedOperation(f"{node.name} (affine, {node.source}): channels must be axis 1 of a (N, C) or (N, C, H, W) tensor")
    if stored.quant is None:
        s = ctx.constants.floats(*float_bounds(node))
    else:
        bounds = stored.result(node.attrs["qlo"], node.attrs["qhi"])
        s = ctx.constants.floats(*ctx.stored(source).operand, 1, 0, 0, 0, bounds)
    spec = BinarySpec("affine", ctx.layouts[source], None, layout, sign=stored.sign)
    w, b = (_per_channel(ctx, ctx.graph.constants[name], layout) for name in (scale, shift))
    ctx.emit(node, spec, x=source, o=node.name, w=w, b=b, s=s, fill=stored.zero)


def _canonical(shape: tuple[int, ...], rank: int) -> tuple[int, int, int, int]:
    """Canonical shape of an operand after numpy's rule of leading ones."""
    return canonical_shape((1,) * (rank - len(shape)) + tuple(shape))


def _operand(ctx: Lowering, node: Node, name: str, index: int) -> tuple[str | Ref, Layout, str]:
    """An operand at the shape of the output, or at one pixel: (buffer, layout, broadcast)."""
    out, rank = ctx.layouts[node.name], len(ctx.type(node.name).shape)
    n, h, w, c = shape = _canonical(ctx.type(name).shape, rank)
    stored = ctx.stored(name)
    full = (out.n, out.h, out.w, out.c)
    if name in ctx.graph.constants:
        if c not in (1, out.c):
            raise UnsupportedOperation(f"{node.name} ({node.op}, {node.source}): cannot broadcast {shape} to {full}")
        layout = Layout(n, h, w, out.c, out.stride, stored.dtype)
        pixel = (h, w) == (1, 1) and index == 1
        values = np.broadcast_to(ctx.graph.constants[name], np.broadcast_shapes(ctx.type(name).shape, (out.c, 1, 1) if rank == 4 else (out.c,)))
        placed = stored.of(values).reshape((1,) * (rank - values.ndim) + values.shape)
        if rank == 4:
            placed = placed.transpose(0, 2, 3, 1)
        nhwc = placed.reshape(n, h, w, out.c)
        if not pixel and shape != full:
            layout, nhwc = Layout(*full, out.stride, stored.dtype), np.broadcast_to(nhwc, full)
        data = np.zeros((*nhwc.shape[:3], out.stride), nhwc.dtype)
        data[..., : out.c] = nhwc
        return ctx.constants.add(data), layout, "pixel" if pixel and shape != full else "none"
    layout = ctx.layouts[name]
    if shape == full:
        return name, layout, "none"
    if index == 1 and (h, w, c) == (1, 1, out.c) and n in (1, out.n) and len(ctx.type(name).shape) == rank:
        return name, layout, "pixel"
    expanded = Layout(*full, out.stride, stored.dtype)
    copy = ctx.temporary(f"{node.name}.{index}", expanded)
    row = layout.wp * layout.stride
    strides = (layout.hp * row, row, layout.stride, 1)
    steps = (out.h * out.w * out.stride, out.w * out.stride, out.stride, 1)
    if len(ctx.type(name).shape) not in (rank,):
        raise UnsupportedOperation(f"{node.name} ({node.op}, {node.source}): operands of different rank; reshape {name} first")
    dims = tuple((full[i], strides[i] if shape[i] > 1 else 0, steps[i]) for i in range(4))
    if any(shape[i] not in (1, full[i]) for i in range(4)):
        raise UnsupportedOperation(f"{node.name} ({node.op}, {node.source}): cannot broadcast {shape} to {full}")
    spec = CopySpec(stored.dtype, dims, layout.offset(0, 0, 0, 0), 0, layout.elements, expanded.elements)
    ctx.emit(node, spec, x=name, o=copy, fill=stored.zero, fill_whole=True)
    return copy, expanded, "none"


def lower_binary(ctx: Lowering, node: Node) -> None:
    """add, sub, mul of two activations, or of an activation and a constant."""
    first, second = node.inputs
    fn, stored, negate = node.op, ctx.stored(node.name), node.op == "sub"
    a, b = ctx.stored(first), ctx.stored(second)
    pixel = ctx.type(first).shape != ctx.type(node.name).shape or first in ctx.graph.constants
    swap = pixel and not (negate and stored.quant is None)
    if swap:
        first, second, a, b = second, first, b, a
    x, src, _ = _operand(ctx, node, first, 0)
    r, other, broadcast = _operand(ctx, node, second, 1)
    layout = ctx.layouts[node.name]
    if stored.quant is None:
        s = ctx.constants.floats(*float_bounds(node))
    else:
        bounds = stored.result(node.attrs["qlo"], node.attrs["qhi"])
        if fn == "mul":
            factors = (multiplier(float(a.scale) * float(b.scale), stored.scale), np.float32(0))
        else:
            factors = (multiplier(a.scale, stored.scale), multiplier(b.scale, stored.scale))
            if negate:
                factors = (-factors[0], factors[1]) if swap else (factors[0], -factors[1])
            fn = "add"
        s = ctx.constants.floats(*a.operand, factors[0], *b.operand, factors[1], bounds)
    spec = BinarySpec(fn, src, other, layout, broadcast, stored.sign)
    ctx.emit(node, spec, x=x, r=r, o=node.name, s=s, fill=stored.zero)


def lower_unary(ctx: Lowering, node: Node) -> None:
    """A table over all integers of the input (integer graphs), or a float function."""
    source, stored = node.inputs[0], ctx.stored(node.name)
    src, dst = ctx.layouts[source], ctx.layouts[node.name]
    if stored.quant is None and ctx.stored(source).quant is None:
        parameters = [node.attrs.get(name, default) for name, default in PARAMETERS.get(node.attrs["fn"], ())]
        s = ctx.constants.floats(*parameters) if parameters else NULL
        ctx.emit(node, UnarySpec(node.attrs["fn"], src, dst), x=source, o=node.name, s=s, fill=0)
        return
    given = ctx.stored(source)
    assert given.quant is not None
    values = ctx.graph.constants[node.inputs[1]]
    element = np.dtype({"u8": np.uint8, "i16": np.int16, "f32": np.float32}[stored.dtype])
    table = np.zeros(65536 if given.dtype == "i16" else 256, element)
    table[: len(values)] = stored.of(values)
    if given.dtype == "u8":
        table[len(values) :] = table[len(values) - 1]
    ctx.emit(node, LutSpec(src, dst), x=source, o=node.name, w=ctx.constants.add(table), fill=stored.zero)


def lower_softmax(ctx: Lowering, node: Node) -> None:
    source, stored = node.inputs[0], ctx.stored(node.name)
    rank = len(ctx.type(source).shape)
    if node.attrs["axis"] % rank != (1 if rank == 4 else rank - 1):
        raise UnsupportedOperation(
            f"{node.name} (softmax, {node.source}): axis {node.attrs['axis']} of a rank-{rank} tensor; "
            "supported: axis 1 of (N, C, H, W), the last axis of any other tensor"
        )
    spec = SoftmaxSpec(ctx.layouts[source], ctx.layouts[node.name], stored.sign)
    if ctx.stored(source).quant is None:
        ctx.emit(node, spec, x=source, o=node.name, fill=0)
        return
    w = ctx.constants.add(np.asarray(ctx.graph.constants[node.inputs[1]], np.int32))
    s = NULL
    if stored.quant is not None:
        qtype = stored.quant.qtype
        s = ctx.constants.floats(multiplier(1.0, stored.scale), stored.result(qtype.qmin, qtype.qmax))
    ctx.emit(node, spec, x=source, o=node.name, w=w, s=s, fill=stored.zero)
