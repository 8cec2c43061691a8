"""Every row of the table beside onnxruntime, with the attributes of old and new opsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.frontend.onnx.table import ROWS
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize
from tests.frontend.onnx.models import model, runtime

IMAGE = {"x": (2, 4, 7, 9)}
RNG = np.random.default_rng(5)
W = RNG.standard_normal((6, 4, 3, 3), np.float32)
TRANSPOSED = W.transpose(1, 0, 2, 3).copy()
C = RNG.standard_normal(4, np.float32)
P = np.abs(RNG.standard_normal(4, np.float32)) + 0.5

Case = tuple[Any, ...]  # nodes, inputs, constants, opset


def _one(
    op: str, read: str = "x", opset: int = 17, constants: dict[str, Any] | None = None, shape: Any = None, **attributes: Any
) -> Case:
    return [(op, read, "y", attributes)], {"x": shape or IMAGE["x"]}, constants or {}, opset


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _chain(*nodes: tuple[Any, ...], constants: dict[str, Any] | None = None, opset: int = 17, shape: Any = None) -> Case:
    return list(nodes), {"x": shape or IMAGE["x"]}, constants or {}, opset


CASES: dict[str, Case] = {
    **{name: _one(name) for name in ("Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Erf", "Sin", "Cos", "Sign", "Identity")},
    **{name: _one(name) for name in ("Softplus", "Softsign", "HardSwish", "HardSigmoid", "Elu", "Selu", "Celu", "LeakyRelu")},
    **{f"{name}_of_positive": _chain(("Exp", "x", "e"), (name, "e", "y")) for name in ("Log", "Sqrt", "Reciprocal")},
    "Mish": _one("Mish", opset=18),
    "Gelu": _one("Gelu", opset=20),
    "Gelu_tanh": _one("Gelu", opset=20, approximate="tanh"),
    "HardSigmoid_sixth": _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "HardSigmoid_other": _one("HardSigmoid", alpha=0.3, beta=0.4),
    "Elu_alpha": _one("Elu", alpha=0.7),
    "Selu_other": _one("Selu", alpha=1.2, gamma=0.9),
    "Celu_alpha": _one("Celu", alpha=0.6),
    "LeakyRelu_alpha": _one("LeakyRelu", alpha=0.3),
    "PRelu": _one("PRelu", "x s", constants={"s": C.reshape(4, 1, 1)}),
    "PRelu_one": _one("PRelu", "x s", constants={"s": np.array([0.2], np.float32)}),
    "Clip_6": _one("Clip", opset=9, min=-0.5, max=0.75),
    "Clip_11": _one("Clip", "x _ b", constants={"b": np.array(0.4, np.float32)}),
    "LogSoftmax": _one("LogSoftmax", axis=1),
    "Softmax_13": _one("Softmax", axis=1),
    "Softmax_9": _one("Softmax", opset=9, axis=2),
    **{
        f"{op}_of_a_scalar": _chain(
            ("ReduceMean", "x", "m", {"keepdims": 0}), (op, "m c", "y"), constants={"c": np.array([0.25], np.float32)}
        )
        for op in ("Max", "Min", "Add", "Mul", "Sub", "Div", "Pow")
    },
    "Max_number": _one("Max", "x c", constants={"c": np.array([0.25], np.float32)}),
    "Min_number": _one("Min", "c x", constants={"c": np.array(0.25, np.float32)}),
    "Sum": _one("Sum", "x x c", constants={"c": C.reshape(4, 1, 1)}),
    "Mean": _chain(("Relu", "x", "r"), ("Mean", "x r", "y")),
    "arithmetic": _chain(
        ("Add", "x c", "a"),
        ("Sub", "c a", "b"),
        ("Mul", "b x", "m"),
        ("Div", "m p", "y"),
        constants={"c": C.reshape(4, 1, 1), "p": P.reshape(4, 1, 1)},
    ),
    "Div_by_activation": _chain(("Exp", "x", "e"), ("Div", "c e", "y"), constants={"c": C.reshape(4, 1, 1)}),
    "Pow": _chain(("Exp", "x", "e"), ("Pow", "e p", "y"), constants={"p": np.array(1.7, np.float32)}),
    "Pow_whole": _one("Pow", "x p", constants={"p": np.array(2, np.int64)}),
    "Conv": _one("Conv", "x w", constants={"w": W}),
    "Conv_all": _one(
        "Conv",
        "x w b",
        constants={"w": W[:, :2], "b": RNG.standard_normal(6, np.float32)},
        group=2,
        strides=[2, 1],
        pads=[1, 0, 2, 1],
        dilations=[1, 2],
    ),
    "Conv_same_upper": _one("Conv", "x w", constants={"w": W}, auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv_same_lower": _one("Conv", "x w", constants={"w": W}, auto_pad="SAME_LOWER", strides=[2, 2]),
    "Conv_valid": _one("Conv", "x w", constants={"w": W}, auto_pad="VALID"),
    "Conv_1d": _one("Conv", "x w", constants={"w": W[:, :, 0]}, shape=(2, 4, 11), pads=[2, 1]),
    "Gemm": _one(
        "Gemm",
        "x w b",
        constants={"w": RNG.standard_normal((5, 8), np.float32), "b": RNG.standard_normal(5, np.float32)},
        shape=(3, 8),
        transB=1,
    ),
    "Gemm_all": _one(
        "Gemm",
        "x w b",
        constants={"w": RNG.standard_normal((3, 5), np.float32), "b": np.array([[0.5]], np.float32)},
        shape=(3, 8),
        transA=1,
        alpha=0.5,
        beta=2.0,
    ),
    "Gemm_without_bias": _one("Gemm", "x w", constants={"w": RNG.standard_normal((8, 5), np.float32)}, shape=(3, 8), opset=11),
    "MatMul": _one("MatMul", "x w", constants={"w": RNG.standard_normal((9, 5), np.float32)}),
    "MatMul_vector": _one("MatMul", "x w", constants={"w": RNG.standard_normal(9, np.float32)}),
    "MatMul_constant_first": _one("MatMul", "w x", constants={"w": RNG.standard_normal((5, 7), np.float32)}),
    "MatMul_of_activations": _chain(("Transpose", "x", "t", {"perm": [0, 1, 3, 2]}), ("MatMul", "x t", "y")),
    "Einsum": _one("Einsum", "x x", opset=12, equation="bchw,bdhw->bcdh"),
    "LRN": _one("LRN", size=3, alpha=0.5, beta=0.6, bias=2.0),
    "LRN_defaults": _one("LRN", size=5, shape=(2, 7, 5, 3)),
    "LpNormalization": _one("LpNormalization", axis=1),
    "TopK_one": _chain(("TopK", "x k", "y i", {"axis": 2}), constants={"k": _ints(1)}),
    "BatchNormalization": _one(
        "BatchNormalization", "x s b m v", constants={"s": C, "b": P, "m": C[::-1].copy(), "v": P}, epsilon=1e-3
    ),
    "MaxPool": _one("MaxPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
    "MaxPool_ceil": _one("MaxPool", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 1, 1, 1], ceil_mode=1),
    "MaxPool_same": _one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    "MaxPool_1d": _one("MaxPool", kernel_shape=[3], shape=(2, 4, 11)),
    "AveragePool": _one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0]),
    "AveragePool_counted": _one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    "AveragePool_ceil": _one("AveragePool", opset=19, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1),
    "AveragePool_same": _one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "GlobalAveragePool": _one("GlobalAveragePool"),
    "GlobalMaxPool": _one("GlobalMaxPool"),
    "ReduceMean_13": _one("ReduceMean", axes=[2, 3], keepdims=0),
    "ReduceMean_18": _one("ReduceMean", "x a", opset=18, constants={"a": _ints(-1)}),
    "ReduceMean_all": _one("ReduceMean", opset=18, keepdims=0),
    "ReduceMean_noop": _one("ReduceMean", opset=18, noop_with_empty_axes=1),
    "ReduceSum": _one("ReduceSum", "x a", constants={"a": _ints(1)}),
    "ReduceMax": _one("ReduceMax", axes=[1]),
    "Concat": _chain(("Relu", "x", "r"), ("Concat", "x r", "y", {"axis": 1})),
    "Split_attribute": _chain(("Split", "x", "a b", {"axis": 1, "split": [1, 3]}), ("Concat", "b a", "y", {"axis": 1}), opset=9),
    "Split_input": _chain(
        ("Split", "x s", "a b", {"axis": -1}), ("Concat", "b a", "y", {"axis": 3}), constants={"s": _ints(4, 5)}
    ),
    "Split_equal": _chain(("Split", "x", "a b", {"axis": 1}), ("Sub", "a b", "y")),
    "Split_18": _chain(("Split", "x", "a b", {"axis": 2, "num_outputs": 2}), ("Concat", "b a", "y", {"axis": 2}), opset=18),
    "Slice_attributes": _one("Slice", opset=9, starts=[1, -4], ends=[4, 100], axes=[1, 3]),
    "Slice_steps": _one(
        "Slice", "x b e a s", constants={"b": _ints(1, 0), "e": _ints(7, 9), "a": _ints(2, -1), "s": _ints(2, 3)}
    ),
    "Reshape": _one("Reshape", "x s", constants={"s": _ints(0, -1, 9)}),
    "Flatten": _one("Flatten"),
    "Flatten_axis": _one("Flatten", axis=-1),
    "Squeeze_attribute": _chain(("Unsqueeze", "x", "u", {"axes": [1, 3]}), ("Squeeze", "u", "y", {"axes": [3]}), opset=9),
    "Squeeze_input": _chain(("Unsqueeze", "x a", "u"), ("Squeeze", "u", "y"), constants={"a": _ints(-1, 0)}),
    "Transpose": _one("Transpose", perm=[0, 2, 3, 1]),
    "Transpose_reversed": _one("Transpose"),
    "Expand": _one("Expand", "x s", constants={"s": _ints(3, 1, 4, 1, 1)}),
    "Tile": _one("Tile", "x r", constants={"r": _ints(1, 2, 1, 3)}),
    "Pad_attributes": _one("Pad", opset=9, pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5),
    "Pad_inputs": _one("Pad", "x p v", constants={"p": _ints(0, 0, -1, 2, 0, 1, 0, 1), "v": np.array(-1.5, np.float32)}),
    "Pad_axes": _one("Pad", "x p _ a", opset=18, constants={"p": _ints(1, 2), "a": _ints(3)}),
    "DepthToSpace": _one("DepthToSpace", blocksize=2),
    "DepthToSpace_CRD": _one("DepthToSpace", blocksize=2, mode="CRD"),
    "SpaceToDepth": _one("SpaceToDepth", blocksize=2, shape=(2, 3, 4, 6)),
    "Gather_one": _one("Gather", "x i", constants={"i": _ints(-1)[0]}, axis=1),
    "Gather_run": _one("Gather", "x i", constants={"i": _ints(1, 3)}, axis=2),
    "Dropout": _one("Dropout", opset=9, ratio=0.5),
    "Cast": _one("Cast", to=1),
    "Constant": _chain(("Constant", "", "c", {"value_float": 1.5}), ("Add", "x c", "y")),
    "Swish": _chain(("Sigmoid", "x", "s"), ("Mul", "x s", "y")),
    "ConvTranspose": _one("ConvTranspose", "x w b", constants={"w": TRANSPOSED, "b": C[:3].repeat(2)}, strides=[2, 1]),
    "ConvTranspose_uneven": _one(
        "ConvTranspose",
        "x w",
        constants={"w": TRANSPOSED},
        strides=[2, 3],
        pads=[1, 0, 0, 2],
        output_padding=[1, 1],
    ),
    "ConvTranspose_same": _one("ConvTranspose", "x w", constants={"w": TRANSPOSED}, strides=[2, 2], auto_pad="SAME_UPPER"),
    "InstanceNormalization": _one("InstanceNormalization", "x s b", constants={"s": P, "b": C}, epsilon=1e-3),
    "LayerNormalization": _one(
        "LayerNormalization", "x s b", constants={"s": np.arange(9, dtype=np.float32), "b": np.ones(9, np.float32)}
    ),
    "GroupNormalization": _one("GroupNormalization", "x s b", opset=21, constants={"s": P, "b": C}, num_groups=2),
    "RMSNormalization": _one("RMSNormalization", "x s", opset=23, constants={"s": np.arange(9, dtype=np.float32)}),
    "Attention": _chain(("Sigmoid", "x", "k"), ("Attention", "x k x", "y"), opset=23),
    "Attention_of_rows": _chain(
        ("Attention", "x x x m", "y", {"q_num_heads": 3, "kv_num_heads": 3, "scale": 0.3}),
        constants={"m": np.linspace(-2, 1, 25, dtype=np.float32).reshape(5, 5)},
        opset=23,
        shape=(2, 5, 12),
    ),
    **{name: _one(name) for name in ("Sinh", "Cosh", "Tan", "ThresholdedRelu", "Shrink")},
    "Shrink_soft": _one("Shrink", bias=0.3, lambd=0.3),
    "Shrink_other": _one("Shrink", bias=0.2, lambd=0.4),
    "MeanVarianceNormalization": _one("MeanVarianceNormalization", axes=[0, 2]),
    "CumSum": _one("CumSum", "x a", constants={"a": np.array(2, np.int64)}),
    "CumSum_back": _one("CumSum", "x a", constants={"a": np.array(-1, np.int64)}, exclusive=1, reverse=1),
    "Trilu": _one("Trilu", "x k", opset=14, constants={"k": np.array(-1, np.int64)}),
    "Trilu_lower": _one("Trilu", opset=14, upper=0),
    "Col2Im": _one(
        "Col2Im",
        "x i k",
        opset=18,
        shape=(2, 12, 6),
        strides=[2, 1],
        constants={"i": np.array([5, 4], np.int64), "k": np.array([2, 2], np.int64)},
    ),
    "GatherElements": _one("GatherElements", "x i", axis=-1, constants={"i": (np.arange(160) % 9 - 4).reshape(2, 4, 5, 4)}),
    "GatherND": _one("GatherND", "x i", constants={"i": np.array([[1, -1], [0, 2]], np.int64)}),
    "Scatter": _one("Scatter", "x i x", opset=9, axis=1, constants={"i": (np.arange(504) % 4).reshape(2, 4, 7, 9)}),
    "ScatterElements": _chain(
        ("Abs", "x", "a"),
        ("ScatterElements", "x i a", "y", {"axis": 2}),
        constants={"i": -1 - np.arange(504).reshape(2, 4, 7, 9) // 9 % 7},
    ),
    "ScatterND": _one(
        "ScatterND", "x i u", constants={"i": np.array([[1, -1], [0, 2]], np.int64), "u": np.full((2, 7, 9), 7, np.float32)}
    ),
    "ReduceProd": _one("ReduceProd", axes=[1, 3]),
    "ReduceLogSum": _chain(("Exp", "x", "e"), ("ReduceLogSum", "e", "y", {"axes": [2], "keepdims": 0})),
    "ReduceLogSumExp": _one("ReduceLogSumExp", axes=[-1, 1]),
    "ReduceSumSquare": _one("ReduceSumSquare", axes=[2]),
    "AveragePool_along_channels": _one("AveragePool", shape=(2, 1, 9, 4, 5), kernel_shape=[3, 1, 1], strides=[1, 1, 1]),
    "ReduceL1": _one("ReduceL1", axes=[1]),
    "ReduceL2": _one("ReduceL2", axes=[2, 3]),
    "ReduceMin": _one("ReduceMin", axes=[3], keepdims=0),
    "Resize_nearest": _one("Resize", "x _ s", constants={"s": np.array([1, 1, 2, 3], np.float32)}, mode="nearest"),
    "Resize_floor": _one(
        "Resize",
        "x _ _ s",
        constants={"s": _ints(2, 4, 10, 5)},
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    ),
    "Resize_linear": _one("Resize", "x _ _ s", constants={"s": _ints(2, 4, 10, 18)}, mode="linear"),
    "Resize_corners": _one(
        "Resize", "x _ _ s", constants={"s": _ints(2, 4, 10, 18)}, mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "Upsample": _one("Upsample", "x s", opset=9, constants={"s": np.array([1, 1, 2, 2], np.float32)}),
    "Size": _chain(("Size", "x", "n"), ("Cast", "n", "f", {"to": 1}), ("Div", "x f", "y")),
    "shape_arithmetic": _chain(
        ("Shape", "x", "s"),
        ("Gather", "s zero", "n"),
        ("Unsqueeze", "n zeros", "u"),
        ("Concat", "u minus", "t", {"axis": 0}),
        ("Reshape", "x t", "y"),
        constants={"zero": np.array(0, np.int64), "zeros": _ints(0), "minus": _ints(-1)},
    ),
    "constant_of_shape": _chain(
        ("Shape", "x", "s"),
        ("ConstantOfShape", "s", "c"),
        ("Add", "x c", "a"),
        ("Range", "i n d", "r"),
        ("Cast", "r", "f", {"to": 1}),
        ("Mul", "a f", "y"),
        constants={"i": np.array(0, np.int64), "n": np.array(9, np.int64), "d": np.array(1, np.int64)},
    ),
}


NEEDS = {"Resize_linear": "upsample_bilinear2d", "Resize_corners": "upsample_bilinear2d"}
"""Case -> the aten operation that its row calls."""


@pytest.mark.parametrize("name", sorted(CASES))
def test_equals_onnxruntime(name: str) -> None:
    if name in NEEDS and NEEDS[name] not in HANDLERS:
        pytest.skip(f"torch's table has no {NEEDS[name]}")
    nodes, inputs, constants, opset = CASES[name]
    given = model(nodes, inputs, constants, opset)
    x = np.random.default_rng(1).standard_normal(inputs["x"]).astype(np.float32)
    graph = verify(import_model(given))
    (theirs,) = runtime(given, x)
    for made in (graph, canonicalize(graph)):
        (ours,) = evaluate(made, [torch.from_numpy(x)])
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=2e-5, atol=2e-5 * max(1, float(np.abs(theirs).max())))


CONDITIONS: dict[str, list[tuple[Any, ...]]] = {
    "at_least_0": [("GreaterOrEqual", "x zero", "b"), ("Where", "b x c", "y")],
    "at_least_0_of_numbers": [("GreaterOrEqual", "x zero", "b"), ("Where", "b c zero", "y")],
    "at_least_0_as_number": [("GreaterOrEqual", "x zero", "b"), ("Cast", "b", "f", {"to": 1}), ("Mul", "x f", "y")],
    "not_at_least_0": [("GreaterOrEqual", "x zero", "b"), ("Not", "b", "n"), ("Where", "n c x", "y")],
    "above": [("Greater", "x c", "b"), ("Where", "b x c", "y")],
    "below": [("Less", "x zero", "b"), ("Not", "b", "n"), ("Where", "n x zero", "y")],
    "between": [("Less", "x c", "a"), ("LessOrEqual", "zero x", "b"), ("And", "a b", "d"), ("Where", "d x zero", "y")],
    "outside": [("Greater", "x c", "a"), ("Less", "x zero", "b"), ("Or", "a b", "d"), ("Where", "d x zero", "y")],
    "one_of_two": [("Greater", "x c", "a"), ("Greater", "x zero", "b"), ("Xor", "a b", "d"), ("Cast", "d", "y", {"to": 1})],
    "equal": [("Equal", "x zero", "b"), ("Cast", "b", "y", {"to": 1})],
    "share": [("LessOrEqual", "x c", "b"), ("Cast", "b", "f", {"to": 1}), ("Sub", "c f", "y")],
}


ON_CONSTANTS = {"Floor", "Ceil", "Round", "Mod"}
"""Rows that only compute constants: roundings have no integer form."""


NO_FLOAT_RESULT = {"ArgMax", "ArgMin", "TopK"}
OTHERWISE = {"Einsum", "IsNaN", "LogSoftmax", "Swish"}


def test_every_row_is_tried() -> None:
    tried = (
        {node[0] for nodes in [*(nodes for nodes, *_ in CASES.values()), *CONDITIONS.values()] for node in nodes}
        | NO_FLOAT_RESULT
        | OTHERWISE
    )
    own = {name for name in ROWS if "." not in name and "Quant" not in name and "Linear" not in name and "Integer" not in name}
    assert sorted(own - tried - ON_CONSTANTS) == []


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_positions(op: str) -> None:
    given = model([(op, "x", "y", {"axis": 1, "keepdims": 0})], {"x": (2, 4, 7, 9)})
    given.graph.output[0].type.tensor_type.elem_type = 7
    x = np.random.default_rng(1).standard_normal((2, 4, 7, 9)).astype(np.float32)
    (ours,), (theirs,) = evaluate(import_model(given), [torch.from_numpy(x)]), runtime(given, x)
    assert np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(("op", "read"), [("Floor", "x"), ("IsInf", "x"), ("NonZero", "x"), ("Det", "x")])
def test_what_is_refused_names_node_and_file(op: str, read: str) -> None:
    given = model([(op, read, "y")], {"x": (3, 3)}, opset=13)
    with pytest.raises(UnsupportedOperation, match=rf"{op} \(ONNX opset 13\) in node0 \(graph\)"):
        import_model(given)


def test_a_condition_chooses_a_sign() -> None:
    constants = {"zero": np.float32(0), "c": np.float32(0.5), "d": np.float32(-0.5)}
    given = model([("GreaterOrEqual", "x zero", "b"), ("Where", "b c d", "y")], {"x": (2, 5)}, constants)
    x = np.array([[-1, -1e-9, 0, 1e-9, 2]] * 2, np.float32)
    (ours,), (theirs,) = evaluate(import_model(given), [torch.from_numpy(x)]), runtime(given, x)
    assert np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("name", CONDITIONS)
def test_computed_conditions_equal_onnxruntime(name: str) -> None:
    given = model(CONDITIONS[name], {"x": (2, 5)}, {"zero": np.float32(0), "c": np.float32(0.5)})
    x = np.array([[-1, -1e-9, 0, 1e-9, 2], [0.5, 0.25, -0.5, 0.75, -0.0]], np.float32)
    (ours,), (theirs,) = evaluate(canonicalize(import_model(given)), [torch.from_numpy(x)]), runtime(given, x)
    assert np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([("IsNaN", "x", "b"), ("Where", "b x c", "y")], "may only replace x itself"),
        ([("IsNaN", "x", "b"), ("Not", "b", "y")], "only where Where chooses by it"),
    ],
)
def test_other_conditions_are_refused(nodes: list[tuple[Any, ...]], text: str) -> None:
    with pytest.raises(UnsupportedOperation, match=text):
        import_model(model(nodes, {"x": (2, 5)}, {"zero": np.float32(0), "c": np.float32(0.5)}))
