"""Ranges of zero width are no error: a channel without weights, a value that never changes, an input that is always 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from tests.end_to_end.check import agrees, build

CONFIGS = ("8/int8", "4/int4", "1/int1", "16/int16")
X = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(1))


def alive(y: np.ndarray) -> bool:
    return bool(np.isfinite(y).all()) and float(y.std()) > 0


@pytest.mark.parametrize("config", CONFIGS)
def test_channels_without_weights(config: str) -> None:
    """Output channels of zeros in every layer, and all of one layer: the others compute as ever."""
    model = tiny.module()
    with torch.no_grad():
        for layer in (model.stem, model.body, model.head):
            layer.weight[::3] = 0
    network = build(model, X, config=config)
    (y,) = agrees(network, X.numpy())
    assert alive(y)
    if config != "1/int1":  # one bit has no zero
        exactly = model.head.bias.detach().numpy()[::3]
        step = np.float32(np.abs(exactly).max() / 100)
        np.testing.assert_allclose(y[0, ::3], exactly, atol=max(step, 1e-3))
    with torch.no_grad():
        model.body.weight.zero_()
        model.body.bias.zero_()
    agrees(build(model, X, config=config), X.numpy())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e-30, 1e30])
def test_constant_activations(config: str, value: float) -> None:
    """Calibrated on one number only."""
    model = tiny.module()
    if value == 1e30:
        with torch.no_grad():
            for layer in (model.stem, model.body, model.head):
                layer.bias.zero_()
    constant = torch.full((1, 3, 8, 8), value)
    network = build(model, constant, config=config)
    for x in (constant, X, torch.zeros_like(X)):
        (y,) = agrees(network, x.numpy())
        assert np.isfinite(y).all()


class _Dead(nn.Module):
    """A relu that never lets anything through, then everything that can follow one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(16, 3)
        nn.init.constant_(self.first.bias, -1000.0)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        y = torch.sigmoid(self.second(x)) * x
        return self.head(torch.cat((x, y), 1).mean((2, 3))).softmax(1)


@pytest.mark.parametrize("config", CONFIGS)
def test_dead_networks_compile(config: str) -> None:
    torch.manual_seed(0)
    (y,) = agrees(build(_Dead().eval(), X, config=config), X.numpy())
    np.testing.assert_allclose(y.sum(), 1, rtol=1e-6)
