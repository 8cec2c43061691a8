"""A small network with a residual, a depthwise and a grouped convolution, and rows to calibrate it with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.graph import Graph
from lowbit.quantization import Calibration, calibrate
from lowbit.zoo.initialize import initialize


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 1, 1)
        self.body = nn.Conv2d(12, 12, 3, 1, 1)
        self.depthwise = nn.Conv2d(12, 12, 3, 2, 1, groups=12)
        self.grouped = nn.Conv2d(12, 16, 1, groups=2)
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.body(x) + x)
        x = torch.clamp(self.grouped(torch.relu(self.depthwise(x))), 0, 6)
        return self.head(x.mean((2, 3)))


def module() -> nn.Module:
    return initialize(Small(), (1, 3, 8, 8), seed=0)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures of 8 x 8: noise on a coarse grid, and some on the fine one."""
    draw = np.random.default_rng(seed)
    coarse = np.kron(draw.normal(size=(count, 3, 2, 2)), np.ones((1, 1, 4, 4)))
    return (coarse + 0.3 * draw.normal(size=(count, 3, 8, 8))).astype(np.float32)


@pytest.fixture(scope="session")
def graph() -> Graph:
    return lowbit.trace(module(), torch.zeros(1, 3, 8, 8), "small")


@pytest.fixture(scope="session")
def calibration(graph: Graph) -> Calibration:
    return calibrate(graph, [rows(96)])


@pytest.fixture
def example() -> Any:
    return torch.from_numpy(rows(1, seed=9))
