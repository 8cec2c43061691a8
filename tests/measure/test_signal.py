"""Dead networks are found, living ones are left alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.graph import Graph
from lowbit.graph.ir import Node, TensorType
from lowbit.measure.signal import check_signal, signal_inputs
from tests import tiny


def test_a_living_network(artifacts: Mapping[str, Path]) -> None:
    network = lowbit.load(artifacts["8/int8"])
    signal = check_signal(network.graph(), signal_inputs(network, 2))
    assert signal.alive
    assert signal.dead_from == ""
    assert signal.constant == ()
    names = [layer.name for layer in signal.layers]
    assert names.index("stem") < names.index("body") < names.index("head")
    assert signal.dead_channels[1] == 16 + 16 + 10
    assert signal.dead_channels[0] <= 4


@pytest.mark.parametrize("config", [None, "8/int8", "1/int1"])
def test_a_dead_network_is_dead_from_the_layer_that_kills_it(config: str | None) -> None:
    model, example = tiny.dead()
    network = lowbit.compile(model, example, config=config, calibration=[example])
    signal = check_signal(network.graph(), signal_inputs(network, 2))
    assert not signal.alive
    assert signal.dead_from.startswith("body")
    stem = next(layer for layer in signal.layers if layer.name == "stem")
    assert stem.depends
    assert [layer.dead_channels for layer in signal.layers if layer.name == "head"] == [10]


def graph(*nodes: Node) -> Graph:
    types = {"x": TensorType((1, 2, 4, 4))} | {node.name: TensorType((1, 2, 4, 4)) for node in nodes}
    return Graph("g", ("x",), (nodes[-1].name,), nodes, types)


def test_values_that_are_nearly_all_the_same() -> None:
    """A threshold that one pixel of a hundred passes."""
    high = graph(Node("top", "clamp", ("x",), {"lo": 10.0, "hi": None}))
    rng = np.random.default_rng(0)
    inputs = [[rng.standard_normal((1, 2, 4, 4)).astype(np.float32)] for _ in range(2)]
    inputs[1][0][0, 0, 0, 0] = 11.0
    signal = check_signal(high, inputs)
    (top,) = signal.layers
    assert top.depends
    assert top.same == pytest.approx(63 / 64)
    assert top.dead_channels == 1
    assert signal.nearly_constant == ()
    inputs[1][0][...] = 0.0
    assert check_signal(high, inputs).dead_from == "top"


def test_one_input_cannot_show_it() -> None:
    with pytest.raises(ValueError, match="takes two inputs"):
        check_signal(graph(Node("y", "clamp", ("x",), {"lo": 0.0, "hi": None})), [[np.zeros((1, 2, 4, 4), np.float32)]])


def test_inputs_use_the_range_of_the_quantization(artifacts: Mapping[str, Path]) -> None:
    network = lowbit.load(artifacts["8/int8"])
    quantize = next(node for node in network.graph().nodes if node.op == "quantize")
    quant = network.graph().types[quantize.name].quant
    assert quant is not None
    low, high = (float(quant.scale) * (q - quant.zero_point) for q in (quant.qtype.qmin, quant.qtype.qmax))
    ((first,), (second,)) = signal_inputs(network, 2)
    assert first.shape == (1, 3, 8, 8)
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)
    assert first.min() >= low - 1e-6
    assert first.max() <= high + 1e-6
    assert first.std() > 0.1 * (high - low)
    np.testing.assert_array_equal(first, signal_inputs(network, 1)[0][0])
