import json

import numpy as np
import pytest

from lowbit.graph import Graph, from_dict, interpret, print_graph, to_dict
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph, random_samples
from tests.graph.build import everything

CONFIGS = {
    "groups": QuantizationConfig("i4", "u8", granularity="per_group:3", weight_container=8),
    "bipolar": QuantizationConfig("b1", "b1", first_last_bits=None),
    "wide": QuantizationConfig("i16", "i16"),
}


def through_json(graph: Graph) -> Graph:
    structure, arrays = to_dict(graph)
    return from_dict(json.loads(json.dumps(structure)), arrays)


def test_float_graph() -> None:
    graph = everything()
    assert print_graph(through_json(graph)) == print_graph(graph)


@pytest.mark.parametrize("name", CONFIGS)
def test_integer_graph_is_the_same_bit_for_bit(name: str) -> None:
    graph = everything()
    samples = random_samples(graph, 0, 1)
    integer = quantize_graph(graph, calibrate(graph, samples), CONFIGS[name])
    back = through_json(integer)
    assert back.nodes == integer.nodes
    assert set(back.types) == set(integer.types)
    for value, tensor in integer.types.items():
        other = back.types[value]
        assert (other.shape, other.dtype) == (tensor.shape, tensor.dtype)
        assert (other.quant is None) == (tensor.quant is None)
        if tensor.quant is not None:
            assert other.quant.same_grid(tensor.quant)
            assert (other.quant.container, other.quant.group_size) == (tensor.quant.container, tensor.quant.group_size)
            np.testing.assert_array_equal(other.quant.group_scale, tensor.quant.group_scale)
    for constant, values in integer.constants.items():
        assert back.constants[constant].dtype == values.dtype
        np.testing.assert_array_equal(back.constants[constant], values)
    for a, b in zip(interpret(integer, samples[0]), interpret(back, samples[0]), strict=True):
        np.testing.assert_array_equal(a, b)
