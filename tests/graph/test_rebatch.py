"""The same network for other numbers of rows, and what tells networks apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import GraphError
from lowbit.graph import Graph, interpret
from lowbit.graph.fingerprint import fingerprint
from lowbit.graph.rebatch import mixes_rows, rebatch
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph
from tests.graph.build import Build, everything, residual_network


@pytest.mark.parametrize("make", [residual_network, everything])
def test_rows_give_the_same_in_any_batch(make) -> None:
    graph = make(batch=2)
    x = np.random.default_rng(0).normal(size=(6, *graph.types["x"].shape[1:])).astype(np.float32)
    integer = quantize_graph(graph, calibrate(graph, [x]), QuantizationConfig("i4", "u8"))
    parts = [interpret(integer, [x[i : i + 2]]) for i in (0, 2, 4)]
    for wanted, got in zip(zip(*parts, strict=True), interpret(rebatch(integer, 6), [x]), strict=True):
        np.testing.assert_array_equal(np.concatenate(wanted), got)
    assert fingerprint(rebatch(integer, 6)) == fingerprint(integer)
    assert rebatch(integer, 2) is integer


def mixing(kind: str) -> Graph:
    b = Build()
    x = b.input("x", 4, 4)
    if kind == "permute":
        return b.graph(b.linear("fc", b.node("y", "permute", x, dims=(1, 0)), 4))
    if kind == "softmax":
        return b.graph(b.node("y", "softmax", x, axis=0))
    if kind == "constant":
        return b.graph(b.node("y", "add", x, b.constant("c", np.ones((4, 4))), lo=None, hi=None))
    if kind == "slice":
        return b.graph(b.node("y", "slice", x, starts=(1, 0), steps=(1, 1), shape_out=(3, 4)))
    if kind == "take":
        return b.graph(b.node("y", "take", x, indices=((3, 0, 0, 1), None)))
    return b.graph(b.node("y", "add", b.input("z", 4, 4, 4), x, lo=None, hi=None))


@pytest.mark.parametrize("kind", ["permute", "softmax", "constant", "slice", "take", "ranks"])
def test_rows_that_meet(kind: str) -> None:
    assert mixes_rows(mixing(kind))
    with pytest.raises(GraphError, match="has no other batch size: "):
        rebatch(mixing(kind), 7)


def test_fingerprints_tell_networks_apart() -> None:
    graph = residual_network()
    assert fingerprint(graph) == fingerprint(replace(graph, name="other")) == fingerprint(residual_network(batch=5))
    name = next(iter(graph.constants))
    moved = {**graph.constants, name: graph.constants[name] + np.float32(1e-3)}
    node = graph.nodes[0].with_attrs(lo=-1.0)
    others = [residual_network(seed=1), replace(graph, constants=moved), replace(graph, nodes=(node, *graph.nodes[1:]))]
    assert len({fingerprint(g) for g in (graph, *others)}) == 4
