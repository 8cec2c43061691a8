"""Channels, sizes and batches that no vector, tile or panel divides: exact, and about as much work as they say."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from lowbit.runtime.compiled import Compiled
from tests.end_to_end.check import agrees, build


def network(first: int, second: int) -> nn.Module:
    """Dense, strided and 1x1 convolutions."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, second, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, second, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(second, first, 1),
    ).eval()


@pytest.mark.parametrize("config", ["8/int8", "4/int4", "1/int1"])
@pytest.mark.parametrize("shape", [(3, 13, 37, 53), (1, 7, 31, 29)], ids=str)
def test_exact(config: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    compiled = build(network(shape[1], 2 * shape[1] + 1), x, config=config)
    (y,) = agrees(compiled, x.numpy())
    assert y.shape == (shape[0], shape[1], (shape[2] + 1) // 2, (shape[3] + 1) // 2)
    assert np.ptp(y) > 0


def seconds_per_mac(networks: Mapping[str, tuple[Compiled, np.ndarray]]) -> dict[str, float]:
    """Least of runs in turns, so that what else runs here slows all alike."""
    least = dict.fromkeys(networks, np.inf)
    for _ in range(40):
        for name, (compiled, x) in networks.items():
            start = time.perf_counter()
            compiled(x)
            least[name] = min(least[name], time.perf_counter() - start)
    return {name: seconds / networks[name][0].manifest["macs"] for name, seconds in least.items()}


def test_odd_shapes_cost_what_even_ones_do() -> None:
    """27 of 32 channels are multiplied for 84 % of the result; twice the time would mean another path was taken."""
    shapes = {"odd": (3, 13, 37, 53), "even": (3, 16, 40, 56)}
    networks = {}
    for name, shape in shapes.items():
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        compiled = build(network(shape[1], 27 if name == "odd" else 32), x, config="8/int8", threads=1)
        networks[name] = compiled, x.numpy()
    cost = seconds_per_mac(networks)
    assert cost["odd"] < 2.5 * cost["even"], "about 1.4 times on an idle machine"
