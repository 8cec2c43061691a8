"""Inputs nobody calibrated for: constant, huge, infinite, NaN.  NaN becomes the least value of the input's type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.runtime.compiled import Compiled
from tests.end_to_end.check import agrees, build

SHAPE = (2, 3, 9, 10)
CONFIGS = ("8/int8", "4/int4", "3/int8", "1/int1", "2/int2", "16/int16", "w4a8", "w7a7")


class Mixed(nn.Module):
    """Dense, grouped, depthwise and strided convolutions, residual, pools, concatenation, table, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.grouped = nn.Conv2d(24, 24, 3, padding=1, groups=3)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.down = nn.Conv2d(48, 40, 2, stride=2)
        self.head = nn.Linear(40, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.hardswish(self.grouped(x))
        y = F.relu(self.depthwise(y) + x)
        y = torch.cat((y, F.max_pool2d(x, 3, 1, 1)), 1)
        y = F.avg_pool2d(self.down(y), 3, 1, 1)
        return self.head(y.mean((2, 3))).softmax(1)


INPUTS = {
    "zeros": 0.0,
    "negative zeros": -0.0,
    "largest calibrated": 3.0,
    "smallest calibrated": -3.0,
    "huge": 1e30,
    "huge negative": -1e30,
    "infinity": np.inf,
    "negative infinity": -np.inf,
    "nan": np.nan,
    "subnormal": 1e-42,
}


@pytest.fixture(scope="module", params=CONFIGS)
def network(request: pytest.FixtureRequest) -> Compiled:
    torch.manual_seed(3)
    return build(Mixed().eval(), torch.randn(SHAPE).clamp(-3, 3), config=request.param)


@pytest.mark.parametrize("name", INPUTS)
def test_constant_inputs(network: Compiled, name: str) -> None:
    (y,) = agrees(network, np.full(SHAPE, INPUTS[name], np.float32))
    assert np.isfinite(y).all()


def test_all_of_them_mixed(network: Compiled) -> None:
    values = np.array([*INPUTS.values(), -np.nan, np.finfo(np.float32).max, 0.1, -0.1], np.float32)
    agrees(network, np.random.default_rng(0).choice(values, SHAPE))


def test_nan_is_the_least_value_whatever_its_sign_and_payload(network: Compiled) -> None:
    least = network(np.full(SHAPE, -np.inf, np.float32))
    for bits in (0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF):
        nan = np.full(SHAPE, bits, np.uint32).view(np.float32)
        assert np.isnan(nan).all()
        np.testing.assert_array_equal(network(nan), least)


@pytest.mark.parametrize("config", ["8/int8", "4/int4", "1/int1", "16/int16"])
@pytest.mark.parametrize("sign", [1, -1])
def test_largest_accumulators(config: str, sign: int) -> None:
    """Every weight and every activation at the end of its range: partial sums are as large as they can be."""
    model = nn.Sequential(nn.Conv2d(3, 96, 1), nn.ReLU(), nn.Conv2d(96, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 5, 3))
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.fill_(1.0)
            layer.weight[1::2] *= sign
            layer.bias.zero_()
    example = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    network = build(model.eval(), example, config=config)
    for value in (1.0, 100.0, 0.0, -100.0):
        agrees(network, np.full((1, 3, 8, 8), value, np.float32))
    alternating = np.where(np.indices((1, 3, 8, 8)).sum(0) % 2, 100, -100).astype(np.float32)
    agrees(network, alternating)
