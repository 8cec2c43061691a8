"""The table of handlers and the loop over it: Graph (float or integer) -> Program."""

from __future__ import annotations

from collections.abc import Callable

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Graph, Node
from lowbit.graph.bounds import check_bounds
from lowbit.kernels.conv2d.selection.decide import Decider, Decisions, decide
from lowbit.lowering import boundary, convolution, elementwise, movement, normalization, pooling, positions, products, resizing
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import Program
from lowbit.numerics.float_products import FLOAT32, FloatProducts
from lowbit.targets import Target

__all__ = ["HANDLERS", "lower"]

HANDLERS: dict[str, Callable[[Lowering, Node], None]] = {
    "quantize": boundary.lower_quantize,
    "dequantize": boundary.lower_dequantize,
    "conv2d": convolution.lower_convolution,
    "linear": convolution.lower_convolution,
    "add": elementwise.lower_binary,
    "sub": elementwise.lower_binary,
    "mul": elementwise.lower_binary,
    "maximum": elementwise.lower_binary,
    "minimum": elementwise.lower_binary,
    "affine": elementwise.lower_affine,
    "clamp": elementwise.lower_clamp,
    "unary": elementwise.lower_unary,
    "softmax": elementwise.lower_softmax,
    "max_pool2d": pooling.lower_extreme_pool("max"),
    "min_pool2d": pooling.lower_extreme_pool("min"),
    "avg_pool2d": pooling.lower_avg_pool,
    "matmul": products.lower_matmul,
    "response_norm": normalization.lower_response_norm,
    "normalize": normalization.lower_normalize,
    "norm_pool2d": pooling.lower_norm_pool,
    "argmax": positions.lower_argmax,
    "concat": movement.lower_concat,
    "reshape": movement.lower_reshape,
    "permute": movement.lower_permute,
    "expand": movement.lower_expand,
    "slice": movement.lower_slice,
    "resize": resizing.lower_resize,
    "interleave": movement.lower_interleave,
    "take": movement.lower_take,
    "pad": movement.lower_pad,
}


def lower(
    graph: Graph,
    target: Target,
    decisions: Decisions | None = None,
    decider: Decider = decide,
    floats: FloatProducts = FLOAT32,
) -> Program:
    """Choose a kernel for every node, place every tensor.  ``decisions``: how convolutions are computed
    where that was measured; without it the cost model decides.  ``decider``: who asks them, for callers that lower the same
    layers many times.  ``floats``: how float32 layers may multiply.

    The program of an integer graph equals ``graph.interpreter.interpret`` integer for integer.
    Raises UnsupportedOperation / UnsupportedPrecision / NumericsError naming the layer.
    """
    check_bounds(graph)
    ctx = Lowering(graph, target, decisions, decider, floats)
    boundary.lower_inputs(ctx)
    for node in graph.nodes:
        handler = HANDLERS.get(node.op)
        if handler is None:
            known = ", ".join(HANDLERS)
            raise UnsupportedOperation(f"{node.name} ({node.op}, {node.source}): no lowering; supported: {known}")
        if not elementwise.lower_constant_sign(ctx, node):
            handler(ctx, node)
    boundary.lower_outputs(ctx)
    return ctx.finish()
