import numpy as np
import pytest

from lowbit.errors import InputError
from lowbit.quantization import (
    QuantizationConfig,
    average_bits,
    calibrate,
    dead_channels,
    layer_statistics,
    quantize_graph,
    random_samples,
)
from tests.graph.build import Build, residual_network


def integer(graph, **fields):
    config = QuantizationConfig(**{"weights": "i4", "activations": "u4", **fields})
    return quantize_graph(graph, calibrate(graph, random_samples(graph, 0, 2)), config)


def test_layer_statistics() -> None:
    graph = residual_network()
    by_name = {s.name: s for s in layer_statistics(integer(graph))}
    down = by_name["down"]
    assert (down.op, down.weights, down.activations) == ("conv2d", "i4", "u4")
    assert down.parameters == 8 * 12 * 9 + 12
    assert down.weight_bytes == 8 * 12 * 9 // 2
    assert down.macs == 2 * 12 * 5 * 5 * 8 * 9
    assert by_name["block.conv2"].parameters == 8 * 8 * 9 + 8  # the residual is no bias
    assert by_name["fc"].weight_bytes == 12 * 5
    plain = layer_statistics(graph)
    assert (plain[0].weights, plain[0].activations, plain[0].weight_bytes) == ("f32", "f32", 4 * 8 * 27)


def test_average_bits_weighs_by_size() -> None:
    graph = residual_network()
    assert average_bits(graph) == (32, 32)
    assert average_bits(integer(graph, weights="i8", activations="u8")) == (8, 8)
    weights, activations = average_bits(integer(graph))
    sizes = {"stem": 8 * 27, "mid": 2 * 8 * 72 + 12 * 72, "fc": 60}
    assert weights == pytest.approx((8 * sizes["stem"] + 4 * sizes["mid"] + 8 * sizes["fc"]) / sum(sizes.values()))
    reads = {8: 2 * 3 * 90 + 2 * 12, 4: 3 * 2 * 8 * 90}
    assert activations == pytest.approx(sum(b * n for b, n in reads.items()) / sum(reads.values()))


def test_average_bits_of_a_graph_without_layers() -> None:
    b = Build()
    x = b.input("x", 1, 4)
    assert average_bits(b.graph(b.node("y", "clamp", x, lo=0.0, hi=None))) == (0, 0)


def test_dead_channels() -> None:
    b = Build()
    x = b.input("x", 2, 3, 6, 6)
    a = b.conv("a", x, 4)
    b.constants["a.bias"][[1, 3]] = -1000  # never above the ReLU
    graph = b.graph(b.linear("fc", b.node("flat", "reshape", b.global_mean("m", a), shape=(2, 4)), 3))
    quantized = integer(graph, weights="i8", activations="u8")
    assert dead_channels(quantized, random_samples(graph, 1, 3)) == {"a": (2, 4), "fc": (0, 3)}
    zeros = [[np.zeros((2, 3, 6, 6), np.float32)]]
    assert dead_channels(quantized, zeros)["fc"] == (3, 3)
    with pytest.raises(InputError, match="at least one batch"):
        dead_channels(quantized, [])
