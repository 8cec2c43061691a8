"""Sums over large maps and large kernels: they leave int32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.graph.interpreter import interpret
from lowbit.lowering import lower
from lowbit.targets import TARGETS


@pytest.mark.parametrize("config", ["16/int16", "8/int8", "fp32"])
def test_means_and_sums_near_the_maximum(config: str) -> None:
    import torch

    class Network(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3)), x.sum((2, 3)), -x.mean((2, 3)), torch.nn.functional.avg_pool2d(x, (300, 310))

    x = torch.rand((1, 2, 320, 320), generator=torch.Generator().manual_seed(0)) * 0.02 + 0.98
    given = {} if config == "fp32" else {"calibration": [x]}
    net = lowbit.compile(Network(), x, config=config, threads=1, progress=False, **given)
    got = [np.asarray(value) for value in net(x.numpy())]
    for value, right in zip(got, Network()(x.double()), strict=True):
        np.testing.assert_allclose(
            value, right.numpy(), rtol=5e-3 if config == "8/int8" else 1e-4 if config == "16/int16" else 1e-6
        )
    if given:
        for value, integer in zip(got, interpret(net.graph(), [x.numpy()]), strict=True):
            np.testing.assert_array_equal(value, integer)


@pytest.mark.parametrize(("side", "kind"), [(22, "depthwise"), (23, "conv2d"), (31, "conv2d")])
@pytest.mark.parametrize("weights", ["i16", "i8"])
def test_depthwise_kernels_of_many_taps(side: int, kind: str, weights: str) -> None:
    """Products of 16-bit values with high and low parts of weights: 23 x 23 of them leave int32."""
    import torch

    layer = torch.nn.Conv2d(4, 4, side, groups=4).eval()
    with torch.no_grad():
        layer.weight.fill_(0.5)
    x = torch.full((1, 4, side + 1, side + 1), 1.0)
    x[0, 0, 0, 0] = 0.0
    net = lowbit.compile(layer, x, weights=weights, activations="i16", calibration=[x], threads=1, progress=False)
    assert {spec.kind for spec in lower(net.graph(), TARGETS["x86-64"]).specs} >= {kind}
    for given in (x, -100 * x):
        np.testing.assert_array_equal(np.asarray(net(given.numpy())), interpret(net.graph(), [given.numpy()])[0])
