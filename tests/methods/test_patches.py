"""A layer at a sample of its positions is a matrix product."""

from __future__ import annotations

import pytest
import torch

from lowbit.frontend.evaluation import compute
from lowbit.methods.patches import Positions, matrix_product
from tests.graph.build import Build


@pytest.mark.parametrize(
    "shape",
    [
        {"channels": 8, "padding": (0, 1, 2, 0), "dilation": (1, 2)},
        {"channels": 6, "stride": (2, 1), "kernel": (1, 3), "padding": (0, 1, 0, 1)},
        {"channels": 6, "groups": 6},
        {"channels": 12, "groups": 6},
        {"channels": 9, "groups": 3, "kernel": 1, "padding": (0, 0, 0, 0)},
    ],
)
def test_products_are_the_convolution(shape: dict) -> None:
    b = Build()
    x = b.input("x", 1, 6, 9, 8)
    graph = b.graph(b.conv("c", x, lo=None, **shape))
    node, given = graph.node("c"), torch.randn(5, 6, 9, 8, generator=torch.Generator().manual_seed(0))
    weight, bias = (torch.from_numpy(graph.constants[name]) for name in node.inputs[1:])
    whole = compute(node, (5, *graph.types["c"].shape[1:]), given, weight, bias)
    positions = Positions.draw(graph, node, 5, 40, seed=1)
    got = matrix_product(positions.inputs(given), weight) + bias
    torch.testing.assert_close(got, positions.outputs(whole), rtol=1e-5, atol=1e-5)
    assert got.shape == (40, shape["channels"])
    assert len({(int(r), int(y), int(c)) for r, y, c in zip(*positions.index, strict=True)}) == 40


def test_linear_layers_over_tokens() -> None:
    b = Build()
    graph = b.graph(b.linear("fc", b.input("x", 1, 3, 7), 4))
    node, given = graph.node("fc"), torch.randn(5, 3, 7)
    weight, bias = (torch.from_numpy(graph.constants[name]) for name in node.inputs[1:])
    whole = compute(node, (5, 3, 4), given, weight, bias)
    positions = Positions.draw(graph, node, 5, 1000, seed=1)
    got = matrix_product(positions.inputs(given), weight) + bias
    torch.testing.assert_close(got, positions.outputs(whole), rtol=1e-5, atol=1e-5)
    assert len(got) == 15
