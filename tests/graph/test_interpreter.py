from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import GraphError, InputError
from lowbit.graph import Graph, Node, TensorType, interpret
from lowbit.numerics import QParams, QType
from lowbit.quantization import QuantizationConfig, calibrate, parse_config, quantize_graph, random_samples
from tests.graph.build import Build, everything, residual_network
from tests.graph.nodewise import check_nodes

CONFIGS = ["8/int8", "16/int16", "4/int8", "4/int4", "2/int2", "1/int1", "w3a5", "w1a16", "w7a7"]
SPECIAL = {
    "signed": QuantizationConfig("i8", "i8"),
    "bipolar": QuantizationConfig("b1", "b1", first_last_bits=None),
    "groups": QuantizationConfig("i4", "u8", granularity="per_group:3"),
    "fixed": QuantizationConfig("i8", "u8", scale="fixed:4"),
    "global": QuantizationConfig("i8", "u8", scale="global:8.0"),
    "power of two": QuantizationConfig("i4", "u6", scale="power_of_two"),
    "per tensor": QuantizationConfig("i8", "u8", granularity="per_tensor", observer="percentile"),
}


def quantized(graph: Graph, config: QuantizationConfig) -> tuple[Graph, list[np.ndarray]]:
    samples = random_samples(graph, 0, 3)
    return quantize_graph(graph, calibrate(graph, samples, config), config), list(samples[0])


@pytest.mark.parametrize("config", [*CONFIGS, *SPECIAL])
@pytest.mark.parametrize("network", [residual_network, everything])
def test_every_node_is_its_float_operation_rounded_once(network, config: str) -> None:
    chosen = SPECIAL.get(config) or parse_config(config)
    assert chosen is not None
    integer, inputs = quantized(network(), chosen)
    outputs = check_nodes(integer, inputs)
    assert all(np.isfinite(value).all() for value in outputs)


def test_wrong_inputs() -> None:
    graph, (x,) = quantized(residual_network(), SPECIAL["signed"])
    with pytest.raises(InputError, match="2 inputs given, takes 1"):
        interpret(graph, [x, x])
    with pytest.raises(InputError, match=r"shape \(1, 3, 10, 9\), must be \(2, 3, 10, 9\)"):
        interpret(graph, [x[:1]])
    with pytest.raises(InputError, match="complex64"):
        interpret(graph, [x.astype(np.complex64)])


def test_float_graph_is_refused() -> None:
    with pytest.raises(GraphError, match=r"stem \(conv2d\): no integer meaning.*quantize the graph first"):
        interpret(residual_network(), [np.zeros((2, 3, 10, 9), np.float32)])


def test_observe_sees_every_node_in_order() -> None:
    graph, inputs = quantized(everything(), SPECIAL["signed"])
    seen: list[str] = []
    interpret(graph, inputs, lambda name, value: seen.append(name))
    assert seen == [node.name for node in graph.nodes]


def test_values_have_the_dtype_of_their_type() -> None:
    graph, inputs = quantized(everything(), QuantizationConfig("i4", "i16"))

    def observe(name: str, value: np.ndarray) -> None:
        quant = graph.types[name].quant
        assert value.dtype == (np.float32 if quant is None else quant.qtype.dtype), name
        assert value.shape == graph.types[name].shape, name

    interpret(graph, inputs, observe)


def _one(op: str, quants: list[QParams], out: QParams | None, shape: tuple[int, ...], **attrs) -> Graph:
    names = tuple(f"v{i}" for i in range(len(quants)))
    types = {name: TensorType(shape, "int", q) for name, q in zip(names, quants, strict=True)}
    types["y"] = TensorType(shape, "int", out)
    inputs = tuple(f"{name}.q" for name in names)
    nodes = [Node(f"{name}.q", "quantize", (name,)) for name in names]
    for name in names:
        types[f"{name}.q"] = types[name]
        types[name] = TensorType(shape)
    return Graph("one", names, ("y",), (*nodes, Node("y", op, inputs, attrs)), types)


def test_add_rounds_each_product_and_then_the_sum() -> None:
    """0.1f * 3 and 0.3f * 7 with a float32 rounding after each step, by hand."""
    i8 = QType.parse("i8")
    graph = _one("add", [QParams(i8, 0.1), QParams(i8, 0.3)], QParams(i8, 0.25), (1,), qlo=-128, qhi=127)
    (y,) = interpret(graph, [np.float32([0.3]), np.float32([2.1])])
    f = np.float32(np.float32(3) * np.float32(0.1 / 0.25)) + np.float32(np.float32(7) * np.float32(np.float32(0.3) / 0.25))
    assert y[0] == np.rint(f) == 10


def test_bipolar_output_is_the_sign_with_zero_positive() -> None:
    i8, b1 = QType.parse("i8"), QType.parse("b1")
    graph = _one("clamp", [QParams(i8, 1.0)], QParams(b1, 0.5), (3,), lo=None, hi=None, qlo=-1, qhi=1)
    (y,) = interpret(graph, [np.float32([-1, 0, 5])])
    assert y.tolist() == [-1, 1, 1]


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_takes_the_largest_of_each_row(axis: int) -> None:
    """Rows far below the others: measured from the largest of all their table entries would be 0."""
    i16 = QType.parse("i16")
    x = np.float32([[30, 30, 29], [-30, -31, -30], [0, 1, 2]])
    graph = _one("softmax", [QParams(i16, 0.001)], None, x.shape, axis=axis)
    levels = np.rint(2.0**28 * np.exp(-0.001 * np.arange(65536))).astype(np.int32)
    types = {**graph.types, "table": TensorType(levels.shape, "int32")}
    node = replace(graph.nodes[-1], inputs=("v0.q", "table"))
    graph = replace(graph, nodes=(*graph.nodes[:-1], node), types=types, constants={"table": levels})
    (p,) = interpret(graph, [x])
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    np.testing.assert_allclose(p, e / e.sum(axis, keepdims=True), rtol=1e-4, atol=1e-7)


def test_large_bias_survives_float32_blas() -> None:
    """A bias above 2^24 added to small products must not lose their low bits before rounding."""
    b = Build()
    x = b.input("x", 1, 1, 1, 1)
    b.conv("c", x, 1, 1, padding=(0, 0, 0, 0), lo=None)
    u8, i8 = QType.parse("u8"), QType.parse("i8")
    types = {
        "x": TensorType((1, 1, 1, 1)),
        "q": TensorType((1, 1, 1, 1), "uint8", QParams(u8, 1.0)),
        "w": TensorType((1, 1, 1, 1), "int8", QParams(i8, np.ones(1), axis=0)),
        "b": TensorType((1,), "int32"),
        "y": TensorType((1, 1, 1, 1)),
    }
    nodes = (Node("q", "quantize", ("x",)), Node("y", "conv2d", ("q", "w", "b"), b.nodes[0].attrs))
    constants = {"w": np.ones((1, 1, 1, 1), np.int8), "b": np.array([2**24 + 1], np.int32)}
    (y,) = interpret(Graph("g", ("x",), ("y",), nodes, types, constants), [np.ones((1, 1, 1, 1), np.float32)])
    assert y.item() == 2**24 + 2
