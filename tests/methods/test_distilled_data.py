"""Inputs that are made from what batch norms keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.errors import CalibrationError, ConfigError
from lowbit.frontend import import_model
from lowbit.methods.distilled_data import distilled_samples
from lowbit.zoo.initialize import initialize


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.na(self.a(x)))
        return self.head(torch.relu(self.nb(self.b(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Its data had another mean and another deviation than 0 and 1."""
    model = initialize(Normed(), (1, 3, 8, 8), seed=0)
    model.na.train(), model.nb.train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(60):
            model(4 + 3 * torch.randn(32, 3, 8, 8, generator=draw))
    return model.eval()


def test_they_look_like_the_data_to_the_batch_norms(model: nn.Module) -> None:
    graph = import_model(model, torch.zeros(1, 3, 8, 8), "normed")
    made = torch.from_numpy(distilled_samples(graph, rows=16, iterations=150)[0])
    plain = torch.from_numpy(distilled_samples(graph, rows=16, iterations=0)[0])

    def far(x: Tensor) -> float:
        y = model.a(x)
        apart = (y.mean((0, 2, 3)) - model.na.running_mean).square() / model.na.running_var
        return float(apart.mean())

    with torch.no_grad():
        assert far(made) < 0.1 * far(plain)


def test_ranges_without_data(model: nn.Module) -> None:
    example = torch.zeros(1, 3, 8, 8)
    made = lowbit.calibrate(model, example, data_free=True)
    data = lowbit.calibrate(model, example, [4 + 3 * np.random.default_rng(1).normal(size=(64, 3, 8, 8))])
    for name, seen in data.histograms.items():
        assert made.histograms[name].maximum == pytest.approx(seen.maximum, rel=0.6), name
    assert len(made.samples[0]) == 64


def test_networks_that_keep_no_statistics_are_refused(graph) -> None:
    with pytest.raises(CalibrationError, match="small has no batch norm"):
        lowbit.calibrate(graph, data_free=True)
    with pytest.raises(ConfigError, match="give either samples or data_free"):
        lowbit.calibrate(graph, samples=[np.zeros((1, 3, 8, 8))], data_free=True)
