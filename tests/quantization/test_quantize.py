import numpy as np
import pytest
import torch

from lowbit.errors import CalibrationError, CalibrationWarning, UnsupportedOperation
from lowbit.frontend import evaluate
from lowbit.graph import Graph, interpret
from lowbit.quantization import LayerPrecision, QuantizationConfig, calibrate, parse_config, quantize_graph, random_samples
from lowbit.quantization.calibration import Calibration
from tests.graph.build import Build, everything, residual_network


def quantized(graph: Graph, config: QuantizationConfig | str) -> tuple[Graph, list[np.ndarray]]:
    chosen = parse_config(config) if isinstance(config, str) else config
    samples = random_samples(graph, 0, 4)
    return quantize_graph(graph, calibrate(graph, samples), chosen), list(samples[1])


def noise(graph: Graph, integer: Graph, inputs: list[np.ndarray]) -> list[float]:
    """RMS error over RMS of each float output."""
    floats = [v.numpy() for v in evaluate(graph, [torch.from_numpy(v) for v in inputs])]
    return [
        float(np.sqrt(np.square(a - b).mean() / np.square(b - b.mean()).mean()))
        for a, b in zip(interpret(integer, inputs), floats, strict=True)
    ]


@pytest.mark.parametrize(
    ("config", "bound"), [("16/int16", 0.001), ("8/int8", 0.03), ("w7a7", 0.06), ("w4a8", 0.35), ("w6a6", 0.12)]
)
def test_residual_network_is_near_the_float_one(config: str, bound: float) -> None:
    graph = residual_network()
    integer, inputs = quantized(graph, config)
    assert noise(graph, integer, inputs)[0] < bound


@pytest.mark.parametrize(("config", "bound"), [("16/int16", 0.002), ("8/int8", 0.1)])
def test_every_operation_is_near_the_float_one(config: str, bound: float) -> None:
    graph = everything()
    integer, inputs = quantized(graph, config)
    assert max(noise(graph, integer, inputs)) < bound


@pytest.mark.parametrize("config", ["4/int4", "2/int2", "1/int1"])
def test_low_widths_are_not_constant(config: str) -> None:
    integer, inputs = quantized(residual_network(batch=4), config)
    spread: dict[str, float] = {}
    outputs = interpret(integer, inputs, lambda name, value: spread.__setitem__(name, float(value.astype(float).std())))
    assert all(value > 0 for value in spread.values()), spread
    assert np.ptp(outputs[0], axis=0).min() > 0


def test_inputs_are_quantized_and_integer_outputs_dequantized() -> None:
    graph = everything()
    integer, _ = quantized(graph, "8/int8")
    assert [n.name for n in integer.nodes if n.op == "quantize"] == ["x.quantize"]
    assert integer.outputs == ("fc", "clamped.dequantize")
    assert integer.types["fc"].quant is None
    assert integer.node("clamped.dequantize").source == "net.py:1"


def test_one_value_twice_an_output() -> None:
    b = Build()
    a = b.conv("a", b.input("x", 1, 2, 4, 4), 3)
    pooled = b.pool("p", a, "avg_pool2d", 2, 2)
    integer, inputs = quantized(b.graph(pooled, pooled), "8/int8")
    first, second = interpret(integer, inputs)
    np.testing.assert_array_equal(first, second)
    assert sum(node.op == "dequantize" for node in integer.nodes) == 1


def test_an_input_that_is_an_output_stays_float() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    integer, inputs = quantized(b.graph(x, b.linear("fc", x, 2)), "8/int8")
    np.testing.assert_array_equal(interpret(integer, inputs)[0], inputs[0])


def test_shared_weights_serve_two_layers() -> None:
    b = Build()
    x = b.input("x", 2, 4)
    y = b.linear("a", x, 4, lo=0.0)
    z = b.node("b", "linear", y, "a.weight", "a.bias", lo=None, hi=None)
    graph = b.graph(z)
    integer, inputs = quantized(graph, "8/int8")
    assert integer.node("a").inputs[1:] != integer.node("b").inputs[1:]
    assert noise(graph, integer, inputs)[0] < 0.05


def test_names_of_new_values_avoid_those_of_the_graph() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    y = b.node("x.quantize", "clamp", x, lo=-1.0, hi=1.0)
    integer, _ = quantized(b.graph(b.linear("fc", y, 2)), "8/int8")
    assert integer.node("x.quantize'").op == "quantize"
    assert integer.node("x.quantize").inputs == ("x.quantize'",)


def test_fused_clamp_becomes_integer_bounds() -> None:
    b = Build()
    x = b.input("x", 1, 2, 6, 6)
    a = b.conv("a", x, 3, lo=-0.5, hi=0.75)
    integer, inputs = quantized(b.graph(b.conv("b", a, 2)), "8/int8")
    params, attrs = integer.types["a"].quant, integer.node("a").attrs
    assert attrs["qlo"] == params.zero_point + round(-0.5 / float(params.scale))
    assert attrs["qhi"] == params.zero_point + round(0.75 / float(params.scale))
    assert interpret(integer, inputs)[0].min() >= 0  # the last layer's clamp acts on floats


def test_constant_of_a_concat_takes_the_output_grid() -> None:
    b = Build()
    x = b.input("x", 1, 3, 4)
    token = b.constant("token", np.full((1, 1, 4), 0.5))
    graph = b.graph(b.linear("fc", b.node("cat", "concat", token, x, axis=1), 2))
    integer, inputs = quantized(graph, "8/int8")
    assert integer.types["token"].quant.same_grid(integer.types["cat"].quant)
    assert noise(graph, integer, inputs)[0] < 0.02


def test_containers_reach_the_types() -> None:
    integer, _ = quantized(residual_network(), "4/int8")
    assert integer.types["block.conv1.weight"].quant.container == 8
    assert integer.types["stem"].quant.container == 8
    packed, _ = quantized(residual_network(), "w4a4")
    assert packed.types["block.conv1.weight"].quant.container == 4
    overridden, _ = quantized(
        residual_network(), QuantizationConfig("i4", "u4", overrides={"block.conv1": LayerPrecision(container=8)})
    )
    assert overridden.types["block.conv1.weight"].quant.container == 8
    assert overridden.types["block.conv2.weight"].quant.container == 4


def test_values_that_were_not_observed() -> None:
    match = r"values missing 'x', .* and . more; layers missing .*'stem'.* calibrate the graph that is quantized"
    with pytest.raises(CalibrationError, match=match):
        quantize_graph(residual_network(), Calibration({}, {}, 1), QuantizationConfig("i8", "u8"))


def test_graphs_that_are_not_canonical() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    ones = [b.constant(f"bn.{k}", np.ones(4)) for k in ("weight", "bias", "mean", "var")]
    graph = b.graph(b.linear("fc", b.node("bn", "batch_norm", x, *ones, eps=1e-5), 2))
    with pytest.raises(UnsupportedOperation, match=r"bn \(batch_norm\): no integer form; canonicalize"):
        quantize_graph(graph, calibrate(graph, [np.ones((1, 4))]), QuantizationConfig("i8", "u8"))


def test_out_of_domain_table_entries() -> None:
    b = Build()
    root = b.node("root", "unary", b.input("x", 1, 4), fn="log")
    graph = b.graph(b.linear("fc", root, 2))
    config = QuantizationConfig("i8", "u8")
    integer = quantize_graph(graph, calibrate(graph, [np.array([[0.5, 1, 2, 3]])], config), config)
    table = integer.constants[integer.node("root").inputs[1]]
    assert table[0] == 0  # log(0) = -inf is the lowest value
    assert (np.diff(table.astype(int)) >= 0).all()


def test_activations_of_which_one_integer_is_left_are_a_warning() -> None:
    """99 to 101 in steps of 6.7 are all 15."""
    b = Build()
    x = b.input("x", 8, 4)
    far = b.node("far", "clamp", x, lo=99.0, hi=101.0)
    graph = b.graph(b.linear("fc", far, 3))
    x = np.random.default_rng(0).uniform(98, 102, (8, 4))
    ranges = calibrate(graph, [x])
    config = QuantizationConfig("i4", "u4", first_last_bits=None, observer="minmax")
    with pytest.warns(
        CalibrationWarning, match=r"constant at this precision: .*'far' \(99 to 101 are all 15 in u4 of step 6\.733\)"
    ):
        quantize_graph(graph, ranges, config)
