"""Random networks of random precision, compiled: output equals the oracle, integer for integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lowbit.numerics import QType
from lowbit.quantization import QuantizationConfig
from tests.end_to_end.check import agrees, build

WEIGHTS = ("b1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i16")
ACTIVATIONS = ("b1", "u1", "u2", "i2", "u3", "u4", "i4", "u5", "u6", "i6", "u7", "u8", "u8", "u8:240", "i8", "i16")
FOLLOWERS = {
    "nothing": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "max pool": lambda x: F.max_pool2d(x, 2, 1, 1),
    "average pool": lambda x: F.avg_pool2d(x, (3, 2), 1, (1, 1)),
    "twice": lambda x: torch.cat((x, F.relu(x)), 1),
    "gate": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "every second column": lambda x: x[:, :, :, ::2],
}


class Network(nn.Module):
    """Layers drawn one after the other, each with padding of its own on each side, then a linear layer."""

    def __init__(self, draw: Any, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.layers, self.plans = nn.ModuleList(), []
        first = channels
        probe = torch.zeros(1, channels, *size)
        for _ in range(draw(st.integers(1, 3))):
            channels = probe.shape[1]
            kernel = [draw(st.integers(1, 3)) for _ in range(2)]
            stride, dilation = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 2]))
            pad = [draw(st.integers(0, 2)) for _ in range(4)]
            for axis, k in enumerate(kernel[::-1]):  # F.pad begins with columns; every kernel shall fit
                room = probe.shape[3 - axis] + pad[2 * axis] + pad[2 * axis + 1]
                pad[2 * axis] += max(0, dilation * (k - 1) + 1 - room)
            kind = draw(st.sampled_from(["dense", "dense", "grouped", "depthwise"]))
            groups = {"dense": 1, "depthwise": channels, "grouped": 2 if channels % 2 == 0 else 1}[kind]
            out = channels if kind == "depthwise" else groups * draw(st.integers(1, 70 // groups))
            layer = nn.Conv2d(channels, out, tuple(kernel), stride, 0, dilation, groups, bias=draw(st.booleans()))
            residual = draw(st.booleans())
            follower = draw(st.sampled_from(sorted(FOLLOWERS)))
            self.layers.append(layer)
            self.plans.append((pad, residual, follower))
            probe = self._step(len(self.plans) - 1, probe)
        self.head = nn.Linear(probe.shape[1], draw(st.integers(1, 12)))
        self.first = first

    def _step(self, index: int, x: Tensor) -> Tensor:
        pad, residual, follower = self.plans[index]
        y = self.layers[index](F.pad(x, pad))
        if residual and y.shape == x.shape:
            y = y + x
        return FOLLOWERS[follower](y)

    def forward(self, x: Tensor) -> Tensor:
        for index in range(len(self.plans)):
            x = self._step(index, x)
        return self.head(x.mean((2, 3)))


@st.composite
def configs(draw: Any) -> QuantizationConfig:
    weights, activations = draw(st.sampled_from(WEIGHTS)), draw(st.sampled_from(ACTIVATIONS))
    bits = QType.parse(weights).bits
    granularities = ["per_channel", "per_tensor"] + (["per_group:4", "per_group:16"] if 1 < bits <= 7 else [])
    return QuantizationConfig(
        weights,  # type: ignore[arg-type]
        activations,  # type: ignore[arg-type]
        first_last_bits=draw(st.sampled_from([None, 8])),
        weight_container=draw(st.sampled_from([None, *(c for c in (8, 16) if c >= bits)])),
        observer=draw(st.sampled_from(["auto", "minmax", "percentile", "mse"])),
        granularity=draw(st.sampled_from(granularities)),
        scale=draw(st.sampled_from(["float", "float", "power_of_two", "fixed:5", "global:4"])),
        bias_correction=draw(st.booleans()),
        full_range=draw(st.booleans()),
    )


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), config=configs(), seed=st.integers(0, 2**16))
def test_equals_the_oracle(data: st.DataObject, config: QuantizationConfig, seed: int) -> None:
    torch.manual_seed(seed)
    shape = tuple(data.draw(st.integers(least, most)) for least, most in ((1, 3), (1, 20), (3, 9), (3, 9)))
    network = Network(data.draw, shape[1], shape[2:]).eval()
    if data.draw(st.booleans()):  # weights of one sign and size: the largest sums there can be
        with torch.no_grad():
            for layer in network.layers:
                layer.weight.copy_(layer.weight.abs().max() * torch.where(layer.weight[:, :1, :1, :1] > 0, 1.0, -1.0))
    example = torch.randn(shape)
    compiled = build(network, example, config=config)
    agrees(compiled, example.numpy())
    agrees(compiled, np.full(shape, 1e3, np.float32))
    agrees(compiled, -100 * example.numpy())
    compiled.close()
