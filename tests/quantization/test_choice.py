"""Numbers that come from elsewhere: nothing is rounded anew, and what does not fit is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import lowbit
from lowbit.errors import ChoiceError, GraphError, NumericsError, UnsupportedOperation, UnsupportedPrecision
from lowbit.frontend import evaluate
from lowbit.graph import Graph, interpret
from lowbit.numerics import QParams, QType, dequantize
from lowbit.quantization import Choice, LayerNumbers, QuantizationConfig, Quantized, apply, calibrate, choose, quantize_graph
from tests.graph.build import Build, everything


def params(text: str, scale: float, zero_point: int = 0) -> QParams:
    return QParams(QType.parse(text), np.float32(scale), zero_point)


def weights(integers: np.ndarray, text: str, scales: list[float]) -> Quantized:
    return Quantized(integers, QParams(QType.parse(text), np.float32(scales), 0, 0))


def imported() -> tuple[Graph, Choice]:
    """What an importer of a quantized file has: a graph whose float weights mean nothing yet, and all its numbers."""
    b = Build()
    x = b.input("x", 1, 3, 6, 6)
    conv = b.conv("conv", x, 4)
    moved = b.node("moved", "add", conv, b.constant("offset", np.zeros((1, 4, 1, 1))), lo=None, hi=None)
    flat = b.node("flat", "reshape", b.global_mean("mean", moved), shape=(1, 4))
    graph = b.graph(b.linear("fc", flat, 5))
    draw = np.random.default_rng(3)
    choice = Choice(
        values={
            "x": params("i8", 0.02, -3),
            "conv": params("u8", 0.2),
            "moved": params("u8", 0.25, 7),
            "mean": params("i8", 0.1, -100),
            "flat": params("i8", 0.1, -100),
            "fc": None,
        },
        layers={
            "conv": LayerNumbers(
                weights(draw.integers(-128, 128, (4, 3, 3, 3)), "i8", [0.01, 0.02, 0.03, 0.04]), draw.integers(-999, 999, 4)
            ),
            "fc": LayerNumbers(weights(draw.integers(-8, 8, (5, 4)), "i4", [0.1] * 5), np.array([5, -4, 3, -2, 1])),
        },
        operands={("moved", 1): Quantized(np.array([3, -2, 1, 0]).reshape(1, 4, 1, 1), params("i8", 0.5))},
    )
    return graph, choice


def test_given_numbers_are_compiled_as_they_are() -> None:
    graph, choice = imported()
    integer = apply(graph, choice)
    conv, fc = integer.node("conv"), integer.node("fc")
    assert np.array_equal(integer.constants[conv.inputs[1]], choice.layers["conv"].weights.integers)
    assert integer.constants[fc.inputs[2]].tolist() == [5, -4, 3, -2, 1]
    assert all(integer.types[name].quant is choice.values[name] for name in choice.values if name != "x")
    network = lowbit.compile(integer, tuning=False)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(1, 3, 6, 6)).astype(np.float32)
        assert np.array_equal(network(x), interpret(integer, [x])[0])


def test_given_numbers_mean_what_float_arithmetic_says() -> None:
    """The float graph with the dequantized numbers gives the same but for the rounding of activations."""
    graph, choice = imported()
    integer = apply(graph, choice)
    constants = dict(graph.constants)
    for name in ("conv", "fc"):
        node, numbers = graph.node(name), choice.layers[name]
        s_x = choice.values[node.inputs[0]].scale
        constants[node.inputs[1]] = dequantize(numbers.weights.integers, numbers.weights.params)
        constants[node.inputs[2]] = np.float32(numbers.bias * s_x * numbers.weights.params.scale)
    operand = choice.operands["moved", 1]
    constants["offset"] = dequantize(operand.integers, operand.params)
    real = Graph(graph.name, graph.inputs, graph.outputs, graph.nodes, graph.types, constants)
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    wanted = evaluate(real, [torch.from_numpy(x)])[0].numpy()
    assert np.abs(interpret(integer, [x])[0] - wanted).max() < 0.1 < 2 < np.abs(wanted).max()


def test_choosing_and_applying_is_quantizing() -> None:
    graph = everything()
    seen = calibrate(graph, [np.random.default_rng(0).normal(size=(4, 4, 12, 10))])
    config = QuantizationConfig("i4", "u8")
    one, two = quantize_graph(graph, seen, config), apply(graph, choose(graph, seen, config))
    assert one.nodes == two.nodes
    assert all(np.array_equal(one.constants[name], two.constants[name]) for name in one.constants)


def test_training_changes_integers_and_scales_but_not_the_graph() -> None:
    """AdaRound rounds a weight the other way, LSQ moves a scale; the bias follows, all else stays."""
    graph, choice = imported()
    old = choice.layers["fc"]
    scales = replace(old.weights.params, scale=old.weights.params.scale * np.float32(0.75))
    other = Quantized(np.clip(old.weights.integers + 1, -8, 7), scales)
    bias = np.array([0.3, 0.1, -0.2, 0.05, 0.0])
    x = choice.values["flat"]
    numbers = LayerNumbers.round_bias(other, bias, x)
    np.testing.assert_allclose(numbers.bias * 0.1 * 0.075, bias, atol=0.6 * 0.0075)
    before, after = apply(graph, choice), apply(graph, choice.with_layers({"fc": numbers}))
    assert before.nodes == after.nodes
    changed = [name for name in after.constants if not np.array_equal(after.constants[name], before.constants[name])]
    assert changed == ["fc.weight", "fc.bias"]
    wider = choice.with_values({"conv": params("u8", 0.3)})
    assert apply(graph, wider).types["conv"].quant.scale == np.float32(0.3)
    assert choice.values["conv"].scale == np.float32(0.2)


def test_16_bit_operands_get_an_int64_bias() -> None:
    graph, choice = imported()
    wide = choice.with_values({name: params("i16", 0.001) for name in ("mean", "flat")})
    assert apply(graph, wide).constants["fc.bias"].dtype == np.int64
    big = LayerNumbers.round_bias(choice.layers["fc"].weights, np.full(5, 1e9), wide.values["flat"])
    assert big.bias.dtype == np.int64
    with pytest.raises(NumericsError, match=r"a bias of 1e\+09 does not fit int32 at scale s_x \* s_w"):
        LayerNumbers.round_bias(choice.layers["fc"].weights, np.full(5, 1e9), choice.values["flat"])


def without(kind: str, name: object) -> Callable[[Choice], Choice]:
    return lambda choice: replace(choice, **{kind: {n: v for n, v in getattr(choice, kind).items() if n != name}})


def layer(name: str, **fields: object) -> Callable[[Choice], Choice]:
    return lambda choice: choice.with_layers({name: replace(choice.layers[name], **fields)})


FOUR = weights(np.ones((5, 4), int), "i8", [1.0] * 5)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (without("values", "conv"), ChoiceError, "net: the values of this choice are those of another graph: missing 'conv'"),
        (without("layers", "fc"), ChoiceError, "the layers of this choice are those of another graph: missing 'fc'"),
        (without("operands", ("moved", 1)), ChoiceError, r"the operands .*: missing \('moved', 1\)"),
        (lambda c: c.with_values({"gone": None}), ChoiceError, "unexpected 'gone'"),
        (lambda c: c.with_values({"conv": FOUR.params}), ChoiceError, "conv: .*; values have one scale and are u1..u8"),
        (lambda c: c.with_values({"conv": params("u16", 1.0)}), ChoiceError, "conv: u16.*; values have one scale"),
        (lambda c: c.with_values({"flat": None}), UnsupportedOperation, r"fc \(linear\): cannot compute on integers, 'flat'"),
        (lambda c: c.with_values({"moved": None}), UnsupportedOperation, r"moved \(add\): has no float32 form"),
        (lambda c: c.with_values({"flat": params("u8", 1.0)}), GraphError, r"flat \(reshape\): only selects values"),
        (layer("fc", weights=weights(np.ones((5, 3), int), "i8", [1.0] * 5)), ChoiceError, r"weights of shape \(5, 3\), must be"),
        (layer("fc", bias=np.zeros(4, int)), ChoiceError, r"fc \(linear\): bias of shape \(4,\), must be \(5,\)"),
        (layer("fc", bias=np.zeros(5)), ChoiceError, "the bias is float64; give integers at scale"),
        (layer("fc", bias=np.full(5, 2**31)), NumericsError, "a bias of 2147483648 does not fit int32"),
        (layer("fc", bias=np.full(5, 2**31 - 1)), UnsupportedPrecision, "fc .*sums of up to .* do not fit the int32 accumulator"),
        (layer("fc", weights=Quantized(FOUR.integers, params("i8", 1.0))), GraphError, "one scale per output channel"),
    ],
)
def test_numbers_that_do_not_fit(change: Callable[[Choice], Choice], error: type[Exception], text: str) -> None:
    graph, choice = imported()
    with pytest.raises(error, match=text):
        apply(graph, change(choice))


def test_integers_that_the_type_does_not_hold() -> None:
    with pytest.raises(NumericsError, match="i4 holds -8 to 7, got 8"):
        Quantized(np.array([1, 8]), params("i4", 1.0))
    with pytest.raises(NumericsError, match="b1 holds -1 and 1, got 0"):
        Quantized(np.array([1, 0]), params("b1", 1.0))
    with pytest.raises(NumericsError, match="integers of i4 are held in int8, got float64"):
        Quantized(np.array([1.0]), params("i4", 1.0))
    assert Quantized(np.array([-8, 7]), params("i4", 1.0)).integers.dtype == np.int8
