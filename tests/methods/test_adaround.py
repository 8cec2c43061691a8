"""AdaRound's prior: of few rows, weights learn little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lowbit
from lowbit.frontend import evaluate
from lowbit.graph import Graph, interpret
from lowbit.methods import AdaRound
from lowbit.quantization import Calibration, calibrate

INPUTS, FITTED = 96, 48


@pytest.fixture(scope="module")
def layer() -> Graph:
    """One whose inputs are more than the rows that are fitted."""
    torch.manual_seed(0)
    return lowbit.trace(
        nn.Sequential(nn.Linear(INPUTS, 24), nn.ReLU(), nn.Linear(24, 24)), torch.zeros(200, INPUTS), name="layer"
    )


def samples(count: int, seed: int) -> np.ndarray:
    """Rows that lie near a plane of 12 dimensions, as those of images do."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(1).standard_normal((12, INPUTS))
    return (generator.standard_normal((count, 12)) @ basis + generator.standard_normal((count, INPUTS))).astype(np.float32)


def plan(graph: Graph, calibration: Calibration, method: AdaRound | str) -> lowbit.QuantizationPlan:
    return lowbit.quantize(graph, calibration=calibration, weights="i3", activations="u3", first_last_bits=None, method=method)


def error(graph: Graph, integer: Graph, x: np.ndarray) -> float:
    wanted = evaluate(graph, [torch.from_numpy(x)], dtype=torch.float64)[0].numpy()
    return float(np.square(interpret(integer, [x])[0] - wanted).mean())


def test_a_strong_prior_rounds_to_nearest(layer: Graph) -> None:
    calibration = calibrate(layer, [samples(FITTED, 2)])
    strong, nearest = plan(layer, calibration, AdaRound(iterations=200, prior=1e6)), plan(layer, calibration, "nearest")
    free = plan(layer, calibration, AdaRound(iterations=200, prior=0.0))
    for name, numbers in nearest.choice.layers.items():
        assert np.array_equal(strong.choice.layers[name].weights.integers, numbers.weights.integers)
        assert not np.array_equal(free.choice.layers[name].weights.integers, numbers.weights.integers)


def test_other_rows_are_served_better_than_by_learning_by_heart(layer: Graph) -> None:
    calibration, others = calibrate(layer, [samples(FITTED, 2)]), samples(200, 3)
    made = {prior: plan(layer, calibration, AdaRound(iterations=200, prior=prior)).integer_graph() for prior in (0.0, 8.0)}
    free, held = (error(layer, graph, others) for graph in made.values())
    assert held < 0.95 * free
