"""Where float32 meets integers: the user's dense tensors, and float32 parts inside a network."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Node
from lowbit.kernels.data_movement.spec import InputSpec, OutputSpec
from lowbit.kernels.elementwise.spec import LutSpec
from lowbit.kernels.layout import canonical_shape
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides, emit_copy
from lowbit.lowering.program import Ref
from lowbit.numerics import dequantize

__all__ = ["lower_dequantize", "lower_inputs", "lower_outputs", "lower_quantize"]


def _strides(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Strides, in elements, of (n, h, w, c) in a dense tensor of this logical shape."""
    _, h, w, c = canonical_shape(shape)
    return (c * h * w, w, 1, h * w) if len(shape) == 4 else (h * w * c, w * c, c, 1)


def lower_inputs(ctx: Lowering) -> None:
    """Copy the graph inputs that kernels read as float32 (``quantize`` reads the user's tensor itself)."""
    for index, name in enumerate(ctx.graph.inputs):
        readers = ctx.graph.users()[name]
        if name in ctx.graph.outputs or any(r.op != "quantize" for r in readers):
            spec = InputSpec(dst=ctx.layouts[name], strides=_strides(ctx.type(name).shape))
            ctx.emit(Node(name, "input", ()), spec, x=Ref("input", index), o=name, fill=0)


def lower_quantize(ctx: Lowering, node: Node) -> None:
    """Of the user's tensor, or of a float32 value inside the network, which is read where it lies, without its halo."""
    (source,), stored, strides = node.inputs, ctx.stored(node.name), _strides(ctx.type(node.name).shape)
    assert stored.quant is not None
    x: str | Ref = Ref("input", ctx.graph.inputs.index(source)) if source in ctx.graph.inputs else source
    if isinstance(x, str):
        layout = ctx.layouts[x]
        if layout.halo:
            shape, x = ctx.type(source).shape, ctx.temporary(f"{node.name}.source", layout.without_halo())
            given, layout = axis_strides(shape, layout), ctx.layouts[x]
            emit_copy(ctx, node, source, x, list(zip(shape, given, axis_strides(shape, layout), strict=True)))
        strides = (layout.hp * layout.wp * layout.stride, layout.wp * layout.stride, layout.stride, 1)
    qtype = stored.quant.qtype
    spec = InputSpec(dst=ctx.layouts[node.name], strides=strides, sign=stored.sign)
    s = ctx.constants.floats(stored.scale, stored.result(qtype.qmin, qtype.qmax))
    ctx.emit(node, spec, x=x, o=node.name, s=s, fill=stored.zero)


def lower_dequantize(ctx: Lowering, node: Node) -> None:
    """For a graph output: see lower_outputs.  For float32 parts inside the network: a table of float32(q - z) * scale."""
    if not ctx.graph.users()[node.name]:
        return
    source = node.inputs[0]
    params, given = ctx.type(source).quant, ctx.stored(source)
    assert params is not None
    integers = np.array([-1, 1]) if params.qtype.bipolar else np.arange(params.qtype.qmin, params.qtype.qmax + 1)
    table = np.zeros(65536 if given.dtype == "i16" else 256, np.float32)
    table[: len(integers)] = dequantize(integers, params)
    spec = LutSpec(src=ctx.layouts[source], dst=ctx.layouts[node.name])
    ctx.emit(node, spec, x=source, o=node.name, w=ctx.constants.add(table), fill=0)


def lower_outputs(ctx: Lowering) -> None:
    by_name = {node.name: node for node in ctx.graph.nodes}
    for index, name in enumerate(ctx.graph.outputs):
        node = by_name.get(name, Node(name, "output", (name,)))
        source = node.inputs[0] if node.op == "dequantize" else name
        stored = ctx.stored(source)
        s = ctx.constants.floats(*stored.operand, stored.scale)
        spec = OutputSpec(src=ctx.layouts[source], strides=_strides(ctx.type(name).shape))
        ctx.emit(node, spec, x=source, o=Ref("output", index), s=s)
