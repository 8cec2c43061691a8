"""Elementwise operations: arithmetic, tables, softmax."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Node
from lowbit.graph.logarithm import logarithm, logarithms
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.elementwise.spec import BinarySpec, LutSpec, UnarySpec
from lowbit.kernels.layout import Layout, canonical_shape
from lowbit.kernels.softmax.spec import SoftmaxSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides, emit_copy, emit_from_rows, emit_to_rows
from lowbit.lowering.program import NULL, Ref
from lowbit.lowering.stored import Stored
from lowbit.numerics import multiplier

__all__ = [
    "emit_rescale",
    "float_bounds",
    "lower_affine",
    "lower_binary",
    "lower_clamp",
    "lower_constant_sign",
    "lower_softmax",
    "lower_unary",
    "per_channel",
]


def float_bounds(node: Node) -> tuple[float, float]:
    """Fused clamp of a float result; unbounded sides are infinite."""
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    return (-math.inf if lo is None else float(lo)), (math.inf if hi is None else float(hi))


def emit_rescale(ctx: Lowering, node: Node, source: str, out: str, to: Stored, qlo: int, qhi: int) -> None:
    """out = requantize(q - zero_point, s_in / s_out): the same value on another grid."""
    given = ctx.stored(source)
    spec = BinarySpec(fn="rescale", src=ctx.layouts[source], other=None, dst=ctx.layouts[out], sign=to.sign)
    s = ctx.constants.floats(*given.operand, multiplier(given.scale, to.scale), 0, 0, 0, to.result(qlo, qhi))
    ctx.emit(node, spec, x=source, o=out, s=s, fill=to.zero)


def lower_constant_sign(ctx: Lowering, node: Node) -> bool:
    """A b1 result whose clamp leaves one of its two values is that constant, whatever is read; False for all others.

    Kernels that give signs know no bounds: f = 0 * x + (qlo = qhi), of a block of zeros, says it to one that has no operand."""
    stored = ctx.stored(node.name)
    if not stored.sign or "qlo" not in node.attrs or node.attrs["qlo"] != node.attrs["qhi"]:
        return False
    layout = ctx.layouts[node.name].without_halo()
    zeros = ctx.constants.add(np.zeros(layout.elements, np.uint8))
    s = ctx.constants.floats(0, node.attrs["qlo"], 1, 0, 0, 0, stored.result(-1, 1))
    spec = BinarySpec(fn="rescale", src=layout, other=None, dst=ctx.layouts[node.name], sign=True)
    ctx.emit(node, spec, x=zeros, o=node.name, s=s, fill=stored.zero)
    return True


def lower_clamp(ctx: Lowering, node: Node) -> None:
    (source,), stored = node.inputs, ctx.stored(node.name)
    if stored.quant is None:
        s = ctx.constants.floats(*float_bounds(node))
        ctx.emit(
            node, UnarySpec(fn="clamp", src=ctx.layouts[source], dst=ctx.layouts[node.name]), x=source, o=node.name, s=s, fill=0
        )
    else:
        emit_rescale(ctx, node, source, node.name, stored, node.attrs["qlo"], node.attrs["qhi"])


def per_channel(ctx: Lowering, values: np.ndarray, layout: Layout) -> Ref:
    """One float32 a physical channel, 0 behind the logical ones."""
    padded = np.zeros(layout.stride, np.float32)
    padded[: layout.c] = np.asarray(values, np.float32).reshape(-1)
    return ctx.constants.add(padded)


def lower_affine(ctx: Lowering, node: Node) -> None:
    """Per-channel (axis 1) multiply and add; the constants are in units of the output scale (integer
    graphs).  Where axis 1 is not the layout's channels, the tensor is copied there and back."""
    source, scale, shift = node.inputs
    stored, moved = ctx.stored(node.name), len(ctx.type(source).shape) not in (2, 4)
    if stored.quant is None:
        s = ctx.constants.floats(*float_bounds(node))
    else:
        bounds = stored.result(node.attrs["qlo"], node.attrs["qhi"])
        s = ctx.constants.floats(*ctx.stored(source).operand, 1, 0, 0, 0, bounds)
    x, out = source, node.name
    if moved:
        x, out = f"{node.name}.rows", f"{node.name}.result"
        emit_to_rows(ctx, node, source, 1, x)
        ctx.temporary(out, replace(ctx.layouts[x], dtype=ctx.layouts[node.name].dtype))
    spec = BinarySpec(fn="affine", src=ctx.layouts[x], other=None, dst=ctx.layouts[out], sign=stored.sign)
    w, b = (per_channel(ctx, ctx.graph.constants[name], ctx.layouts[out]) for name in (scale, shift))
    ctx.emit(node, spec, x=x, o=out, w=w, b=b, s=s, fill=stored.zero)
    if moved:
        emit_from_rows(ctx, node, out, 1)


def _operand(ctx: Lowering, node: Node, name: str, index: int) -> tuple[str | Ref, Layout, str]:
    """An operand at the shape of the output, or at one pixel that serves all: (memory, layout, broadcast)."""
    out, shape, given = ctx.layouts[node.name], ctx.type(node.name).shape, ctx.type(name).shape
    n, h, w, c = canonical_shape((1,) * (len(shape) - len(given)) + tuple(given))
    pixel = index == 1 and h == w == 1 and out.pixels > 1
    if name in ctx.graph.constants:
        return _constant(ctx, node, name, pixel and c in (1, out.c))
    if given == shape:
        return name, ctx.layouts[name], "none"
    if pixel and n in (1, out.n) and c == out.c and len(given) == len(shape):
        return name, ctx.layouts[name], "pixel"
    layout = out.without_halo(ctx.stored(name).dtype)
    return _expanded(ctx, node, name, index), layout, "none"


def _constant(ctx: Lowering, node: Node, name: str, pixel: bool) -> tuple[Ref, Layout, str]:
    """A constant operand, repeated by numpy's rules to the output's shape (``pixel``: but for axes of height and
    width, and the leading axes where none of them varies) and padded to physical channels."""
    stored, out, shape = ctx.stored(name), ctx.layouts[node.name], ctx.type(node.name).shape
    values = stored.of(ctx.graph.constants[name])
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    layout = out.without_halo(stored.dtype)
    if pixel:
        varies = canonical_shape(values.shape)[0] > 1
        layout = replace(layout, n=out.n if varies else 1, h=1, w=1)
        channels = 1 if len(shape) == 4 else len(shape) - 1
        lead = range(1 if len(shape) in (2, 3, 4) else max(len(shape) - 3, 0))
        shape = tuple(n if d == channels or (varies and d in lead) else 1 for d, n in enumerate(shape))
    values = np.broadcast_to(values, shape)
    nhwc = values.transpose(0, 2, 3, 1) if len(shape) == 4 else values.reshape(canonical_shape(shape))
    data = np.zeros((layout.n, layout.h, layout.w, layout.stride), values.dtype)
    data[..., : layout.c] = nhwc
    return ctx.constants.add(data), layout, "pixel" if pixel else "none"


def _expanded(ctx: Lowering, node: Node, name: str, index: int) -> str:
    """A buffer with the operand repeated to the output's shape (numpy's rules)."""
    shape, given = ctx.type(node.name).shape, ctx.type(name).shape
    missing = len(shape) - len(given)
    if any(extent not in (1, shape[missing + i]) for i, extent in enumerate(given)):
        raise UnsupportedOperation(f"{node.name} ({node.op}, {node.source}): cannot broadcast {given} to {shape}")
    out = ctx.layouts[node.name]
    layout = out.without_halo(ctx.stored(name).dtype)
    copy = ctx.temporary(f"{node.name}.{index}", layout)
    own = zip(given, axis_strides(given, ctx.layouts[name]), strict=True)
    strides = (0,) * missing + tuple(stride if extent > 1 else 0 for extent, stride in own)
    emit_copy(ctx, node, name, copy, list(zip(shape, strides, axis_strides(shape, layout), strict=True)))
    return copy


def lower_binary(ctx: Lowering, node: Node) -> None:
    """A binary operation of two activations, or of an activation and a constant."""
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
            factors = (multiplier(float(a.scale) * float(b.scale), stored.scale), multiplier(0.0, 1.0))
        else:
            factors = (multiplier(a.scale, stored.scale), multiplier(b.scale, stored.scale))
            if negate:
                factors = (-factors[0], factors[1]) if swap else (factors[0], -factors[1])
                fn = "add"
        s = ctx.constants.floats(*a.operand, factors[0], *b.operand, factors[1], bounds)
    spec = BinarySpec(fn=fn, src=src, other=other, dst=layout, broadcast=broadcast, sign=stored.sign)
    ctx.emit(node, spec, x=x, r=r, o=node.name, s=s, fill=stored.zero)


def lower_unary(ctx: Lowering, node: Node) -> None:
    """A table over all integers of the input (integer graphs), or a float function."""
    source, stored = node.inputs[0], ctx.stored(node.name)
    src, dst = ctx.layouts[source], ctx.layouts[node.name]
    if stored.quant is None and ctx.stored(source).quant is None:
        parameters = [node.attrs.get(name, default) for name, default in PARAMETERS.get(node.attrs["fn"], ())]
        s = ctx.constants.floats(*parameters) if parameters else NULL
        ctx.emit(node, UnarySpec(fn=node.attrs["fn"], src=src, dst=dst), x=source, o=node.name, s=s, fill=0)
        return
    given = ctx.stored(source)
    assert given.quant is not None
    values = ctx.graph.constants[node.inputs[1]]
    element = np.dtype({"u8": np.uint8, "i16": np.int16, "f32": np.float32}[stored.dtype])
    table = np.zeros(65536 if given.dtype == "i16" else 256, element)
    table[: len(values)] = stored.of(values)
    if given.dtype == "u8":
        table[len(values) :] = table[len(values) - 1]
    ctx.emit(node, LutSpec(src=src, dst=dst), x=source, o=node.name, w=ctx.constants.add(table), fill=stored.zero)


def lower_softmax(ctx: Lowering, node: Node) -> None:
    """Over the channels of the layout; any other axis is copied there and back."""
    source, stored = node.inputs[0], ctx.stored(node.name)
    rank = len(ctx.type(source).shape)
    axis = node.attrs["axis"] % rank
    moved = axis != (1 if rank == 4 else rank - 1)
    x, out = source, node.name
    if moved:
        x, out = f"{node.name}.rows", f"{node.name}.result"
        emit_to_rows(ctx, node, source, axis, x)
        ctx.temporary(out, replace(ctx.layouts[x], dtype=ctx.layouts[node.name].dtype))
    w = s = t = NULL
    log, given = bool(node.attrs.get("log")), ctx.stored(source).quant
    if given is not None:
        values = ctx.graph.constants[node.inputs[1]]
        # as long as the kernel may index, whatever is stored: bounds of values are numbers in the weight file
        table = np.zeros(65536 if ctx.stored(source).dtype == "i16" else 256, np.int32)
        table[: len(values)] = values
        w = ctx.constants.add(table)
        if log:
            t = ctx.constants.add(np.append(logarithms(), logarithm(values[:1])))
    if stored.quant is not None or (log and given is not None):
        bounds = [0.0] * 3 if stored.quant is None else stored.result(stored.quant.qtype.qmin, stored.quant.qtype.qmax)
        factor = 1.0 if stored.quant is None else multiplier(1.0, stored.scale)
        s = ctx.constants.floats(factor, bounds, *([given.scale] if log and given is not None else []))
    spec = SoftmaxSpec(src=ctx.layouts[x], dst=ctx.layouts[out], sign=stored.sign, log=log)
    ctx.emit(node, spec, x=x, o=out, w=w, s=s, t=t, fill=stored.zero)
    if moved:
        emit_from_rows(ctx, node, out, axis)
