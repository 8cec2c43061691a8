"""THE table of operations: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lowbit.graph import shapes
from lowbit.graph.ir import Graph, Node
from lowbit.graph.unary import UNARY, apply_unary

__all__ = ["BINARY", "LAYERS", "OPS", "PASS_THROUGH", "POSITIONS", "UNARY", "Op", "apply_unary", "channel_multiplier"]


@dataclass(frozen=True)
class Op:
    """``least``..``most`` inputs (most None: any number); attrs that must and that may be there.

    ``infer(node, input shapes, output shape as typed) -> shape`` raises GraphError saying what is wrong.
    ``parameters``: inputs from this index on are constants (residuals apart).
    """

    name: str
    least: int
    most: int | None
    infer: Callable[[Node, list[shapes.Shape], shapes.Shape], shapes.Shape]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    parameters: int | None = None


def _op(
    name: str,
    least: int,
    most: int | None,
    infer: Callable[[Node, list[shapes.Shape], shapes.Shape], shapes.Shape],
    required: str = "",
    optional: str = "",
    parameters: int | None = None,
) -> Op:
    return Op(name, least, most, infer, frozenset(required.split()), frozenset(optional.split()), parameters)


_CLAMPED = "lo hi qlo qhi"

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        #   name       inputs    shape                   attrs: required                    optional
        _op("conv2d", 2, 4, shapes.conv2d_shape, "stride padding dilation groups", f"{_CLAMPED} residual", 1),
        _op("linear", 2, 4, shapes.linear_shape, "", f"{_CLAMPED} residual", 1),
        _op("batch_norm", 5, 5, shapes.batch_norm_shape, "eps", "", 1),
        _op("affine", 3, 3, shapes.affine_shape, "", _CLAMPED, 1),
        _op("clamp", 1, 1, shapes.same_shape, "lo hi", "qlo qhi"),
        _op("unary", 1, 2, shapes.same_shape, "fn", "alpha beta exponent threshold", 1),
        _op("softmax", 1, 2, shapes.softmax_shape, "axis", "log qlo qhi", 1),
        _op("normalize", 3, 3, shapes.normalize_shape, "axis groups spatial centred mean eps floor", _CLAMPED, 1),
        _op("response_norm", 1, 1, shapes.response_shape, "size alpha beta k", "qlo qhi"),
        _op("add", 2, 2, shapes.broadcast_shape, "", _CLAMPED),
        _op("sub", 2, 2, shapes.broadcast_shape, "", _CLAMPED),
        _op("mul", 2, 2, shapes.broadcast_shape, "", _CLAMPED),
        _op("matmul", 2, 2, shapes.matmul_shape, "transposed factor", "qlo qhi"),
        _op("maximum", 2, 2, shapes.broadcast_shape, "", _CLAMPED),
        _op("minimum", 2, 2, shapes.broadcast_shape, "", _CLAMPED),
        _op("concat", 1, None, shapes.concat_shape, "axis", "qlo qhi"),
        _op("max_pool2d", 1, 1, shapes.pool_shape, "windows columns"),
        _op("min_pool2d", 1, 1, shapes.pool_shape, "windows columns"),
        _op("avg_pool2d", 1, 1, shapes.pool_shape, "windows columns divisors", "qlo qhi"),
        _op("norm_pool2d", 1, 1, shapes.pool_shape, "windows columns", "qlo qhi"),
        _op("argmax", 1, 1, shapes.reduced_shape, "axis least"),
        _op("expand", 1, 1, shapes.expand_shape, "shape"),
        _op("reshape", 1, 1, shapes.reshape_shape, "shape"),
        _op("permute", 1, 1, shapes.permute_shape, "dims"),
        _op("slice", 1, 1, shapes.slice_shape, "starts steps"),
        _op("take", 1, 1, shapes.take_shape, "indices"),
        _op("resize", 1, 1, shapes.resize_shape, "rows columns", "qlo qhi"),
        _op("interleave", 1, 1, shapes.interleave_shape, "rows columns phases groups"),
        _op("pad", 1, 1, shapes.pad_shape, "before after value"),
        _op("quantize", 1, 1, shapes.same_shape),
        _op("dequantize", 1, 1, shapes.same_shape),
    )
}

LAYERS = ("conv2d", "linear")
"""Operations with weights and multiplications: what precision is chosen for."""

BINARY = ("add", "sub", "mul", "maximum", "minimum")
"""Element by element of two operands that broadcast; either may be a constant."""

PASS_THROUGH = ("expand", "interleave", "max_pool2d", "min_pool2d", "pad", "permute", "reshape", "slice", "take")
"""Operations that only select values: their output has the scale and zero point of their input."""

POSITIONS = ("argmax",)
"""Operations that give positions: int64, never quantized, whatever they read."""


def channel_multiplier(graph: Graph, node: Node) -> int | None:
    """Output channels per input channel of a depthwise convolution: one whose every output channel reads one input channel
    of several.  None for other operations."""
    if node.op != "conv2d" or node.attrs["groups"] == 1:
        return None
    out, per_group = graph.types[node.inputs[1]].shape[:2]
    return int(out) // int(node.attrs["groups"]) if per_group == 1 else None
