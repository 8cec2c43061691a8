"""One meaning for a graph of either kind."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.errors import InputError
from lowbit.graph import interpret
from lowbit.measure.expected import expected_outputs
from lowbit.quantization import calibrate, parse_config, quantize_graph
from tests.graph.build import residual_network

X = np.random.default_rng(0).normal(size=(2, 3, 10, 9)).astype(np.float32)


def test_an_integer_graph_gives_what_the_interpreter_says() -> None:
    graph = residual_network()
    integer = quantize_graph(graph, calibrate(graph, [X]), parse_config("8/int8"))
    seen: list[str] = []
    assert (graph.is_integer, integer.is_integer) == (False, True)
    assert np.array_equal(expected_outputs(integer, [X], lambda name, _: seen.append(name))[0], interpret(integer, [X])[0])
    assert seen == [node.name for node in integer.nodes]


def test_a_float_graph_is_computed_in_the_type_asked_for() -> None:
    graph, seen = residual_network(), {}
    (narrow,), (wide,) = expected_outputs(graph, [X], seen.__setitem__), expected_outputs(graph, [X], float_type="float64")
    assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
    assert 0 < np.abs(narrow - wide).max() < 1e-5
    assert all(isinstance(value, np.ndarray) for value in seen.values())
    assert "fc" in seen
    with pytest.raises(InputError, match="takes 1 inputs"):
        expected_outputs(graph, [X, X])
