"""Networks that somebody else quantized: what becomes integer, what stays float32, and that nothing is rounded anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ConfigError, UnsupportedOperation, UnsupportedPrecision
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph, interpret
from lowbit.tracer import trace
from tests.frontend.onnx.models import model, runtime

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 4, 6, 6)).astype(np.float32)
W8 = RNG.integers(-128, 128, (8, 4, 3, 3)).astype(np.int8)
SCALES = RNG.uniform(0.005, 0.02, 8).astype(np.float32)
F32, U8 = np.float32, np.uint8
CONSTANTS = {
    "s_x": F32(0.02),
    "z_x": U8(120),
    "w": W8,
    "s_w": SCALES,
    "z_w": np.zeros(8, np.int8),
    "s_y": F32(0.05),
    "z_y": U8(100),
}
X_ROUNDED = (("QuantizeLinear", "x s_x z_x", "xq"), ("DequantizeLinear", "xq s_x z_x", "xd"))
WEIGHTS = ("DequantizeLinear", "w s_w z_w", "wd", {"axis": 0})
Y_ROUNDED = (("QuantizeLinear", "t s_y z_y", "yq"), ("DequantizeLinear", "yq s_y z_y", "y"))


def _model(*nodes: tuple[Any, ...], **constants: Any) -> Any:
    return model([*X_ROUNDED, *nodes], {"x": X.shape}, {**CONSTANTS, **constants}, opset=21)


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def _agrees(given: Any, x: np.ndarray = X, steps: float = 0.05, share: float = 0.01) -> Graph:
    """Compiled equals the interpreter; onnxruntime differs by at most a step of the output, in few places."""
    graph = trace(given)
    ours = np.asarray(lowbit.compile(given, threads=1)(x))
    (expected,) = interpret(graph, [x])
    if graph.is_exact:
        assert np.array_equal(ours, expected)
    (theirs,) = runtime(given, x)
    assert np.abs(ours - theirs).max() <= steps * 1.001
    assert np.mean(np.abs(ours - theirs) > 1e-5) <= share
    return graph


def test_a_layer_keeps_integers_and_scales() -> None:
    bias = RNG.integers(-5000, 5000, 8).astype(np.int32)
    unit = (np.float32(0.02) * SCALES).astype(np.float32)
    given = _model(
        WEIGHTS,
        ("DequantizeLinear", "b s_b", "bd", {"axis": 0}),
        ("Conv", "xd wd bd", "t", {"pads": [1, 1, 1, 1]}),
        *Y_ROUNDED,
        b=bias,
        s_b=unit,
    )
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "conv2d", "dequantize"]
    layer = graph.nodes[1]
    assert np.array_equal(graph.constants[layer.inputs[1]], W8)
    assert np.array_equal(graph.constants[layer.inputs[2]], bias)
    weights, out = graph.types[layer.inputs[1]].quant, graph.types[layer.name].quant
    assert weights is not None
    assert out is not None
    assert np.array_equal(weights.scale, SCALES)
    assert (float(out.scale), out.zero_point, str(out.qtype)) == (pytest.approx(0.05), 100, "u8")
    assert graph.integers == {}


def test_activations_and_residuals_are_fused() -> None:
    given = _model(
        WEIGHTS,
        ("Conv", "xd wd", "c", {"pads": [1, 1, 1, 1]}),
        ("QuantizeLinear", "c s_y z_y", "cq"),
        ("DequantizeLinear", "cq s_y z_y", "cd"),
        ("Relu", "cd", "r"),
        ("DequantizeLinear", "w2 s_x", "wd2"),
        ("Conv", "r wd2", "c2"),
        ("Add", "c2 r", "a"),
        ("Relu", "a", "t"),
        *Y_ROUNDED,
        w2=RNG.integers(-20, 20, (8, 8, 1, 1)).astype(np.int8),
    )
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "conv2d", "clamp", "conv2d", "dequantize"]
    assert graph.nodes[3].attrs["residual"]
    assert graph.nodes[3].attrs["qlo"] == 100


@pytest.mark.parametrize("signs", ["as they are", "some negative"])
def test_batch_norm_goes_into_the_scales(signs: str) -> None:
    """Where what it adds is whole in steps of the sum, or small beside a step of the result."""
    scale = RNG.uniform(0.5, 2, 8).astype(np.float32) * (np.where(np.arange(8) % 3 == 0, -1, 1) if signs != "as they are" else 1)
    norm = {
        "g": scale.astype(np.float32),
        "h": np.zeros(8, np.float32),
        "m": np.zeros(8, np.float32),
        "v": np.ones(8, np.float32),
    }
    given = _model(
        WEIGHTS,
        ("Conv", "xd wd", "c"),
        ("BatchNormalization", "c g h m v", "t", {"epsilon": 0.0}),
        *Y_ROUNDED,
        **norm | {"w": np.clip(W8, -127, 127)},
    )
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "conv2d", "dequantize"]
    turned = np.where(scale < 0, -1, 1).reshape(-1, 1, 1, 1)
    assert np.array_equal(graph.constants[graph.nodes[1].inputs[1]], np.clip(W8, -127, 127) * turned)


def test_a_bias_that_is_not_whole_is_added_in_float32() -> None:
    """2-bit weights: half a step of the sum is no small part of a step of the result."""
    coarse = {
        "w": RNG.integers(-2, 2, (8, 4, 3, 3)).astype(np.int8),
        "s_w": F32(0.5),
        "z_w": np.int8(0),
        "s_x": F32(0.5),
        "z_x": U8(3),
    }
    given = _model(WEIGHTS, ("Conv", "xd wd b", "t"), *Y_ROUNDED, b=RNG.standard_normal(8).astype(np.float32), **coarse)
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "conv2d", "affine", "quantize", "dequantize"]
    assert graph.is_exact


def test_signs_need_no_float32() -> None:
    """sum + b >= 0 for whole sums is sum + floor(b) >= 0."""
    nodes = [
        ("qonnx.custom_op.general:BipolarQuant", "x one", "xq"),
        ("qonnx.custom_op.general:BipolarQuant", "w one", "wq"),
        ("Gemm", "xq wq b", "t", {"transB": 1}),
        ("qonnx.custom_op.general:BipolarQuant", "t one", "y"),
    ]
    weights, bias = RNG.standard_normal((16, 33)).astype(np.float32), RNG.uniform(-6, 6, 16).astype(np.float32)
    given = model(nodes, {"x": (5, 33)}, {"w": weights, "b": bias, "one": F32(1)}, domains=["qonnx.custom_op.general"])
    x = RNG.standard_normal((5, 33)).astype(np.float32)
    graph = trace(given)
    assert _ops(graph) == ["quantize", "linear", "dequantize"]
    sign = lambda values: np.where(values >= 0, 1, -1)  # noqa: E731
    expected = sign(sign(x) @ sign(weights).T + bias)
    assert np.array_equal(interpret(graph, [x])[0], expected)
    assert np.array_equal(lowbit.compile(given, threads=1)(x), expected)


def test_float_parts_run_beside_integer_ones() -> None:
    """A convolution that nobody quantized between two that are."""
    given = _model(
        WEIGHTS,
        ("Conv", "xd wd", "c", {"pads": [1, 1, 1, 1]}),
        ("QuantizeLinear", "c s_y z_y", "cq"),
        ("DequantizeLinear", "cq s_y z_y", "cd"),
        ("Conv", "cd f", "g", {"pads": [1, 1, 1, 1]}),
        ("Sigmoid", "g", "h"),
        ("QuantizeLinear", "h s_h", "hq"),
        ("DequantizeLinear", "hq s_h", "hd"),
        ("DequantizeLinear", "w2 s_x", "wd2"),
        ("Conv", "hd wd2", "t"),
        *Y_ROUNDED,
        f=RNG.standard_normal((8, 8, 3, 3)).astype(np.float32),
        s_h=F32(1 / 255),
        w2=RNG.integers(-90, 90, (8, 8, 1, 1)).astype(np.int8),
    )
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "conv2d", "dequantize", "conv2d", "unary", "quantize", "conv2d", "dequantize"]
    assert not graph.is_exact
    (reference,) = evaluate(import_model(given), [torch.from_numpy(X)])
    assert np.abs(np.asarray(lowbit.compile(given, threads=1)(X)) - reference.numpy()).max() <= 0.0501


@pytest.mark.parametrize("axes", [[0, 1, 2, 3], [0, 2, 3, 1]])
def test_a_float32_value_is_rounded_where_it_lies(axes: list[int]) -> None:
    """Also with the halo that a convolution beside needs."""
    given = model(
        [
            ("Sigmoid", "x", "r"),
            ("Transpose", "r", "p", {"perm": axes}),
            ("QuantizeLinear", "p s_h", "q"),
            ("DequantizeLinear", "q s_h", "y"),
            ("Conv", "r f", "z", {"pads": [1, 2, 1, 0]}),
        ],
        {"x": X.shape},
        {"s_h": F32(1 / 255), "f": RNG.standard_normal((5, 4, 3, 3)).astype(np.float32)},
        outputs=("y", "z"),
    )
    ours, beside = (np.asarray(value) for value in lowbit.compile(given, threads=1)(X))
    expected = interpret(trace(given), [X])
    assert np.abs(ours - expected[0]).max() <= 1.001 / 255
    assert np.mean(ours != expected[0]) < 0.01
    assert np.abs(beside - expected[1]).max() < 1e-4


def test_a_value_on_two_grids() -> None:
    given = _model(
        WEIGHTS,
        ("Conv", "xd wd", "c"),
        ("QuantizeLinear", "c s_y z_y", "aq"),
        ("DequantizeLinear", "aq s_y z_y", "a"),
        ("QuantizeLinear", "c s_x z_x", "bq"),
        ("DequantizeLinear", "bq s_x z_x", "b"),
        ("Add", "a b", "t"),
        *Y_ROUNDED,
    )
    assert _ops(_agrees(given)) == ["quantize", "conv2d", "quantize", "quantize", "add", "dequantize"]


def test_moving_keeps_the_grid() -> None:
    given = _model(
        ("Transpose", "xd", "m", {"perm": [0, 2, 3, 1]}),
        ("Reshape", "m shape", "n"),
        ("DequantizeLinear", "v s_x", "vd"),
        ("MatMul", "n vd", "t"),
        *Y_ROUNDED,
        shape=np.array([2, 36, 4]),
        v=RNG.integers(-9, 9, (4, 5)).astype(np.int8),
    )
    graph = _agrees(given)
    assert _ops(graph) == ["quantize", "permute", "reshape", "linear", "dequantize"]


@pytest.mark.parametrize(
    ("kind", "point", "held"),
    [("UINT8", 128, "i8"), ("UINT8", 100, "i16"), ("INT4", 0, "i4"), ("UINT4", 8, "i4"), ("UINT4", 3, "i5")],
)
def test_weights_get_the_narrowest_signed_type(kind: str, point: int, held: str) -> None:
    from onnx import TensorProto

    bits, signed = int(kind[-1]), kind.startswith("I")
    integers = RNG.integers(-(1 << (bits - 1)) if signed else 0, 1 << (bits - 1 if signed else bits), (8, 4, 1, 1))
    integers.flat[:2] = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    number = getattr(TensorProto, kind)
    nodes = [*X_ROUNDED, ("DequantizeLinear", "v s_x z_w", "wd"), ("Conv", "xd wd", "t"), *Y_ROUNDED]
    given = model(
        nodes, {"x": X.shape}, {**CONSTANTS, "v": integers, "z_w": np.array(point)}, opset=21, kinds={"v": number, "z_w": number}
    )
    graph = _agrees(given)
    weights = graph.nodes[1].inputs[1]
    assert str(graph.types[weights].quant).startswith(held)
    assert np.array_equal(graph.constants[weights], integers - point)


def test_16_bit_activations_are_signed() -> None:
    given = model(
        [("QuantizeLinear", "x s z", "xq"), ("DequantizeLinear", "xq s z", "xd"), WEIGHTS, ("Conv", "xd wd", "y")],
        {"x": X.shape},
        {"s": F32(1e-4), "z": np.array(30000, np.uint16), "w": W8, "s_w": SCALES, "z_w": np.zeros(8, np.int8)},
        opset=21,
    )
    graph = _agrees(given, steps=1e-4)
    quant = graph.types[graph.nodes[0].name].quant
    assert quant is not None
    assert (str(quant.qtype), quant.zero_point) == ("i16", 30000 - 32768)


@pytest.mark.parametrize(
    ("nodes", "constants", "text"),
    [
        (
            [("QuantizeLinear", "x s_c z_c", "q", {"axis": 1}), ("DequantizeLinear", "q s_c z_c", "y", {"axis": 1})],
            {"s_c": SCALES[:4], "z_c": np.zeros(4, np.uint8)},
            "an activation with 4 scales or zero points; .* quantize activations per tensor",
        ),
        (
            [("QuantizeLinear", "x s_x z_x", "q"), ("DequantizeLinear", "q s_y z_x", "y")],
            {},
            "integers of scale 0.02 and zero point 120 as if they had scale 0.05",
        ),
        (
            [("QuantizeLinear", "x s_x z_x", "q"), ("Cast", "q", "y", {"to": 1})],
            {},
            "it computes on the integers of q; put a DequantizeLinear between",
        ),
        (
            [("QuantizeLinear", "x bad z_x", "q"), ("DequantizeLinear", "q bad z_x", "y")],
            {"bad": F32(-1)},
            "the scale must be positive",
        ),
        (
            [("DynamicQuantizeLinear", "x", "q s z"), ("DequantizeLinear", "q s z", "y")],
            {},
            "DynamicQuantizeLinear .* cannot compile",
        ),
    ],
)
def test_what_cannot_be_kept(nodes: list[Any], constants: dict[str, Any], text: str) -> None:
    with pytest.raises(UnsupportedOperation, match=text):
        trace(model(nodes, {"x": X.shape}, {**CONSTANTS, **constants}, opset=21))


def test_integers_that_no_type_holds() -> None:
    given = _model(
        ("DequantizeLinear", "v s_x", "wd"), ("Conv", "xd wd", "t"), *Y_ROUNDED, v=np.full((8, 4, 1, 1), 70000, np.int32)
    )
    with pytest.raises(UnsupportedPrecision, match="integers from 0 to 70000|integers from .* fit no type of up to 16 bits"):
        trace(given)


def test_a_precision_beside_the_files_own() -> None:
    given = _model(WEIGHTS, ("Conv", "xd wd", "t"), *Y_ROUNDED)
    with pytest.raises(ConfigError, match="is an integer graph already; its precision was chosen when it was made"):
        lowbit.compile(given, config="8/int8")
