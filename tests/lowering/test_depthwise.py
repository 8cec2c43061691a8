"""One definition of depthwise, of which the kernel computes the case of one output per input channel."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.lowering import lower
from lowbit.quantization import LayerPrecision, QuantizationConfig, calibrate, layer_precisions, quantize_graph
from lowbit.targets import TARGETS
from tests.graph.build import Build


@pytest.mark.parametrize(("channels", "kind"), [(8, "depthwise"), (16, "conv2d")])
def test_kernels_by_channel_multiplier(channels: int, kind: str) -> None:
    b = Build()
    graph = b.graph(b.conv("conv", b.input("x", 1, 8, 6, 6), channels, groups=8))
    config = QuantizationConfig("i4", "u8", first_last_bits=None, overrides={"type:depthwise": LayerPrecision("i6")})
    assert str(layer_precisions(graph, config)["conv"].weights) == "i6"
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 6))
    program = lower(quantize_graph(graph, calibrate(graph, [x]), config), TARGETS["x86-64-v3"])
    assert kind in {call.spec.kind for call in program.calls if call.layer == "conv"}
