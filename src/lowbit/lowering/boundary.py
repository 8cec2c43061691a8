"""Where the user's dense float32 tensors meet the arena."""

from __future__ import annotations

from lowbit.errors import GraphError
from lowbit.graph import Node
from lowbit.kernels.data_movement.spec import InputSpec, OutputSpec
from lowbit.kernels.layout import canonical_shape
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import Ref

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
    if node.inputs[0] not in ctx.graph.inputs:
        raise GraphError(f"{node.name}: only graph inputs are quantized, not {node.inputs[0]}")
    stored = ctx.stored(node.name)
    assert stored.quant is not None
    qtype = stored.quant.qtype
    spec = InputSpec(dst=ctx.layouts[node.name], strides=_strides(ctx.type(node.name).shape), sign=stored.sign)
    s = ctx.constants.floats(stored.scale, stored.result(qtype.qmin, qtype.qmax))
    ctx.emit(node, spec, x=Ref("input", ctx.graph.inputs.index(node.inputs[0])), o=node.name, s=s, fill=stored.zero)


def lower_dequantize(ctx: Lowering, node: Node) -> None:
    if ctx.graph.users()[node.name]:
        raise GraphError(f"{node.name}: dequantize is for graph outputs, but a node reads it")


def lower_outputs(ctx: Lowering) -> None:
    by_name = {node.name: node for node in ctx.graph.nodes}
    for index, name in enumerate(ctx.graph.outputs):
        node = by_name.get(name, Node(name, "output", (name,)))
        source = node.inputs[0] if node.op == "dequantize" else name
        stored = ctx.stored(source)
        s = ctx.constants.floats(*stored.operand, stored.scale)
        spec = OutputSpec(src=ctx.layouts[source], strides=_strides(ctx.type(name).shape))
        ctx.emit(node, spec, x=source, o=Ref("output", index), s=s)
