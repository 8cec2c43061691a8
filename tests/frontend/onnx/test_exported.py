"""Modules that torch exports to ONNX are the graphs that torch's own trace gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph
from lowbit.graph.verify import verify
from lowbit.passes import canonicalize
from lowbit.quantization import apply, calibrate, choose, parse_config
from lowbit.zoo import build, example_inputs
from tests.frontend.cases import CASES, case
from tests.frontend.onnx.exported import exported

EXPORTER_REFUSES = (
    "channel_shuffle_layer", "pixel_shuffle_rank_3", "pixel_unshuffle_rank_5", "pool_1d", "pool_adaptive_max_1d",
    "pool_avg_larger_than_input", "pool_avg_uneven", "pool_max_uneven", "scalars", "norm_layer_last", "attention_encoder",
    "attention_grouped", "flip_spellings", "roll_flat", "rot90", "up_nearest_exact", "addcdiv",
)  # fmt: skip
EXPORTER_CHANGES = {
    "act_softplus_threshold": "the threshold is left out",
    "in_place_through_view": "the second write is lost",
    "pad_circular_cut": "negative amounts cut both ends",
    "up_bilinear_factors": "the factors are rounded to float32",
    "pool_avg_divisor": "divisor_override is left out",
    "tensor_split_anywhere": "an output without elements becomes a sequence",
    "windows": "the last axes of windows of windows change places",
    "unused_input": "the input is left out",
}


def _apart(graph: Graph, other: Graph, inputs: Sequence[torch.Tensor]) -> float:
    """Largest difference of outputs, relative to the largest output."""
    worst = 0.0
    for ours, theirs in zip(evaluate(graph, inputs), evaluate(other, inputs), strict=True):
        assert ours.shape == theirs.shape
        worst = max(worst, float((ours - theirs).abs().max()) / max(1e-3, float(theirs.abs().max())))
    return worst


@pytest.mark.parametrize("name", sorted(set(CASES) - {*EXPORTER_REFUSES, *EXPORTER_CHANGES}))
def test_small_modules(name: str) -> None:
    model, inputs = case(name)
    graph = verify(import_model(exported(model, inputs), name=name))
    assert _apart(graph, import_model(model, inputs, name), inputs) < 1e-5
    assert _apart(canonicalize(graph, lambda step, after: verify(after)), graph, inputs) < 1e-5


@pytest.mark.parametrize("name", ["cifar_resnet8", "densenet_block", "lenet5", pytest.param("resnet18", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dynamo", [False, True], ids=["script", "dynamo"])
def test_networks(name: str, dynamo: bool) -> None:
    model, inputs = build(name), example_inputs(name)
    options = {"dynamo": True} if dynamo else {"do_constant_folding": True}
    assert _apart(import_model(exported(model, inputs, **options)), import_model(model, inputs), inputs) < 1e-5


@pytest.mark.parametrize("config", ["8/int8", "4/int4"])
def test_integers(config: str) -> None:
    """The same plan gives the same integers, and the same names to layers: batch norms are folded here, not by the exporter."""
    model, inputs = build("cifar_resnet20"), example_inputs("cifar_resnet20")
    plan = parse_config(config)
    assert plan is not None
    made = []
    for graph in (import_model(model, inputs), import_model(exported(model, inputs, training=torch.onnx.TrainingMode.PRESERVE))):
        canonical = canonicalize(graph)
        made.append(apply(canonical, choose(canonical, calibrate(canonical, [x.numpy() for x in inputs], plan), plan)))
    ours, theirs = made
    layers = [{node.name: node for node in graph.nodes if node.op in ("conv2d", "linear")} for graph in made]
    assert list(layers[0]) == list(layers[1])
    for name, node in layers[0].items():
        for mine, its in zip(node.inputs[1:3], layers[1][name].inputs[1:3], strict=True):
            assert np.array_equal(ours.constants[mine], theirs.constants[its]), (name, mine)
