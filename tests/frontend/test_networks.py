"""Imported and canonical graphs compute what the module computes."""

from __future__ import annotations

import pytest
import torch

from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize
from tests.frontend.cases import CASES, case


def _expected(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    with torch.no_grad():
        outputs = model.double()(*(x.double() for x in inputs))
    leaves, _ = torch.utils._pytree.tree_flatten(outputs)
    return leaves


def _close(graph: Graph, inputs: tuple[torch.Tensor, ...], expected: list[torch.Tensor], tolerance: float) -> None:
    got = evaluate(graph, list(inputs), dtype=torch.float64)
    assert [value.shape for value in got] == [value.shape for value in expected]
    for name, ours, theirs in zip(graph.outputs, got, expected, strict=True):
        assert tuple(ours.shape) == graph.types[name].shape
        assert float((ours - theirs).abs().max()) <= tolerance * max(1e-3, float(theirs.abs().max()))


@pytest.mark.parametrize("name", sorted(CASES))
def test_graph_computes_what_the_module_computes(name: str) -> None:
    """Exactly before the passes; after them up to the float32 rounding of folded constants."""
    model, inputs = case(name)
    graph = import_model(model, inputs, name)
    verify(graph)
    canonical = canonicalize(graph, lambda step, after: verify(after))
    expected = _expected(model, inputs)
    rounded = name in (
        "division",
        "weight_standardised",
        "addmm",
        "normalize_input",
        "exponentials",
        "norm_far_from_zero",
        "norm_layer_last",
        "attention_by_hand",
        "attention_of_constants",
    )  # their constants are
    _close(graph, inputs, expected, 1e-6 if rounded else 1e-9)
    _close(canonical, inputs, expected, 3e-6)
