"""The table: ONNX operation -> row.  One line adds an operation whose aten operation is compiled already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowbit.frontend.onnx.node import OnnxNode
from lowbit.frontend.onnx.rows import definitions, layers, moves, pointwise, pools, quantized

__all__ = ["GIVE_INTEGERS", "MOVES", "READ_INTEGERS", "ROWS", "Row", "only_moves"]

Row = Callable[[OnnxNode], Any]
"""node -> the value, or a tuple of values for operations with several results."""

_MICROSOFT: dict[str, Row] = {
    "QuantizeLinear": quantized.quantize_linear,
    "DequantizeLinear": quantized.dequantize_linear,
    "QGemm": quantized.qgemm,
    "QLinearAdd": quantized.qlinear(pointwise.binary("add.Tensor"), 2),
    "QLinearMul": quantized.qlinear(pointwise.binary("mul.Tensor"), 2),
    "QLinearAveragePool": quantized.qlinear(pools.pool("avg_pool2d"), 1),
    "QLinearGlobalAveragePool": quantized.qlinear(pools.global_pool("mean.dim"), 1),
    "QLinearLeakyRelu": quantized.qlinear(pointwise.leaky_relu, 1),
    "QLinearSigmoid": quantized.qlinear(pointwise.direct("sigmoid"), 1),
    "QLinearSoftmax": quantized.qlinear(pointwise.softmax, 1),
    "QLinearConcat": quantized.qlinear_concat,
    "QLinearWhere": quantized.qlinear_where,
    "Gelu": pointwise.gelu,
}
_QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_QONNX_ROWS: dict[str, Row] = {
    "Quant": quantized.quant,
    "BipolarQuant": quantized.bipolar_quant,
    "Trunc": quantized.trunc,
}

ROWS: dict[str, Row] = {
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "Einsum": layers.einsum,
    "BatchNormalization": layers.batch_norm,
    "InstanceNormalization": layers.instance_norm,
    "GroupNormalization": layers.group_norm,
    "LayerNormalization": layers.layer_norm,
    "RMSNormalization": layers.rms_norm,
    "Attention": layers.attention,
    "LRN": layers.response_norm,
    "LpNormalization": layers.lp_norm,
    "Relu": pointwise.direct("relu"),
    "Clip": pointwise.clip,
    "LeakyRelu": pointwise.leaky_relu,
    "PRelu": pointwise.prelu,
    "Sigmoid": pointwise.direct("sigmoid"),
    "HardSigmoid": pointwise.hard_sigmoid,
    "HardSwish": pointwise.direct("hardswish"),
    "Elu": pointwise.elu,
    "Selu": pointwise.selu,
    "Celu": pointwise.celu,
    "Gelu": pointwise.gelu,
    "Tanh": pointwise.direct("tanh"),
    "Softplus": pointwise.direct("softplus"),
    "Softsign": pointwise.softsign,
    "Mish": pointwise.direct("mish"),
    "Swish": pointwise.swish,
    "Exp": pointwise.direct("exp"),
    "Log": pointwise.direct("log"),
    "Sqrt": pointwise.direct("sqrt"),
    "Reciprocal": pointwise.direct("reciprocal"),
    "Abs": pointwise.direct("abs"),
    "Neg": pointwise.direct("neg"),
    "Erf": pointwise.direct("erf"),
    "Sin": pointwise.direct("sin"),
    "Cos": pointwise.direct("cos"),
    "Sign": pointwise.direct("sign"),
    "Floor": pointwise.direct("floor"),
    "Ceil": pointwise.direct("ceil"),
    "Round": pointwise.direct("round"),
    "Not": pointwise.direct("logical_not"),
    "Softmax": pointwise.softmax,
    "LogSoftmax": pointwise.log_softmax,
    "Add": pointwise.binary("add.Tensor"),
    "Sub": pointwise.binary("sub.Tensor"),
    "Mul": pointwise.mul,
    "Div": pointwise.div,
    "Mod": pointwise.binary("remainder.Tensor"),
    "Pow": pointwise.power,
    "Max": pointwise.extreme("maximum"),
    "Min": pointwise.extreme("minimum"),
    "Sum": pointwise.variadic("add.Tensor"),
    "Mean": pointwise.mean,
    "Equal": pointwise.binary("eq.Tensor"),
    "Greater": pointwise.binary("gt.Tensor"),
    "GreaterOrEqual": quantized.at_least,
    "IsNaN": quantized.is_nan,
    "Less": pointwise.binary("lt.Tensor"),
    "LessOrEqual": pointwise.binary("le.Tensor"),
    "And": pointwise.binary("logical_and"),
    "Or": pointwise.binary("logical_or"),
    "Where": quantized.choose,
    "Xor": pointwise.binary("logical_xor"),
    "Sinh": pointwise.direct("sinh"),
    "Cosh": pointwise.direct("cosh"),
    "Tan": pointwise.direct("tan"),
    "Shrink": definitions.shrink,
    "ThresholdedRelu": definitions.thresholded,
    "Identity": pointwise.identity,
    "Dropout": pointwise.identity,
    "Cast": pointwise.cast,
    "MaxPool": pools.pool("max_pool2d"),
    "AveragePool": pools.pool("avg_pool2d"),
    "GlobalAveragePool": pools.global_pool("mean.dim"),
    "GlobalMaxPool": pools.global_pool("amax"),
    "ReduceMean": pools.reduce("mean.dim"),
    "ReduceSum": pools.reduce("sum.dim_IntList"),
    "ReduceMax": pools.reduce("amax"),
    "ReduceMin": pools.reduce("amin"),
    "ReduceSumSquare": pools.squares,
    "ReduceL1": pools.length(1),
    "ReduceL2": pools.length(2),
    "ReduceProd": definitions.product,
    "ReduceLogSum": definitions.log_sum,
    "ReduceLogSumExp": definitions.soft_maximum,
    "MeanVarianceNormalization": definitions.mean_variance,
    "CumSum": definitions.cum_sum,
    "Trilu": definitions.triangle,
    "Col2Im": definitions.folded,
    "ArgMax": pools.arg("argmax"),
    "ArgMin": pools.arg("argmin"),
    "TopK": pools.top,
    "Concat": moves.concat,
    "Split": moves.split,
    "Slice": moves.slice_,
    "Reshape": moves.reshape,
    "Flatten": moves.flatten,
    "Squeeze": moves.squeeze,
    "Unsqueeze": moves.unsqueeze,
    "Transpose": moves.transpose,
    "Expand": moves.expand,
    "Tile": moves.tile,
    "Pad": moves.pad,
    "Gather": moves.gather,
    "GatherElements": moves.gather_elements,
    "GatherND": moves.gather_nd,
    "Scatter": moves.scatter_elements,
    "ScatterElements": moves.scatter_elements,
    "ScatterND": moves.scatter_nd,
    "DepthToSpace": moves.depth_to_space,
    "SpaceToDepth": moves.space_to_depth,
    "Resize": moves.resize,
    "Upsample": moves.resize,
    "Constant": moves.constant,
    "ConstantOfShape": moves.constant_of_shape,
    "Range": moves.range_,
    "Shape": moves.shape,
    "Size": moves.size,
    "QuantizeLinear": quantized.quantize_linear,
    "DequantizeLinear": quantized.dequantize_linear,
    "QLinearConv": quantized.qlinear_layer(layers.conv, 0),
    "QLinearMatMul": quantized.qlinear_layer(layers.matmul, 1),
    "ConvInteger": quantized.integer_layer(layers.conv),
    "MatMulInteger": quantized.integer_layer(layers.matmul),
    **{f"com.microsoft.{name}": row for name, row in _MICROSOFT.items()},
    **{f"{domain}.{name}": row for domain in _QONNX for name, row in _QONNX_ROWS.items()},
}

MOVES = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "GlobalMaxPool", "Reshape", "Slice"}
    | {"Pad", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
"""Operations that give integers as they got them: their results are on the grid of what they read."""


def only_moves(n: OnnxNode) -> bool:
    """Whether the node is one of MOVES, or resizes by repeating and leaving out."""
    return n.op in MOVES or (n.op in ("Resize", "Upsample") and n.attribute("mode", "nearest") == "nearest")


GIVE_INTEGERS = frozenset(name for name in ROWS if name.rpartition(".")[2].startswith(("QuantizeLinear", "QLinear", "QGemm")))
"""Operations whose result is held as integers in the file; it is the real number that these mean here."""

_KNOWING = frozenset({"DequantizeLinear", "com.microsoft.DequantizeLinear", "ConvInteger", "MatMulInteger", "ArgMax", "ArgMin"})
READ_INTEGERS = GIVE_INTEGERS | MOVES | _KNOWING
"""Operations that know what such a value means."""
