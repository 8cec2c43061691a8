"""Networks whose weights and activations are huge or tiny: right, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import NumericsError
from lowbit.graph.interpreter import interpret
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph
from lowbit.quantization.weights import quantize_weights


def _network(first: float, second: float, x: float) -> tuple[Any, Any]:
    """Two convolutions and a linear layer; weights scaled by ``first`` and ``second``, inputs by ``x``, biases to match."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        model[0].weight *= first
        model[0].bias *= first * x
        model[2].weight *= second
        model[2].bias *= first * second * x
    return model, torch.randn(2, 3, 8, 8) * x


MAGNITUDES = [
    (1e30, 1.0, 1.0), (1e30, 1e-30, 1.0), (1e-35, 1e35, 1.0), (1e-25, 1e25, 1.0), (1.0, 1.0, 1e30), (1e-30, 1e30, 1e-3),
    (1.0, 1.0, 1e-40), (1e-40, 1.0, 1.0), (1e-20, 1e-20, 1e-20), (1e12, 1e12, 1e12),
]  # fmt: skip


@pytest.mark.parametrize("magnitudes", MAGNITUDES, ids=str)
@pytest.mark.parametrize(("weights", "activations", "most"), [("i16", "i16", 0.005), ("i8", "u8", 0.08), ("i6", "u8", 0.2)])
def test_results_hold_at_every_magnitude(
    magnitudes: tuple[float, float, float], weights: str, activations: str, most: float
) -> None:
    model, x = _network(*magnitudes)
    graph = lowbit.trace(model, x)
    config = QuantizationConfig(weights, activations, granularity="per_group:2" if weights == "i6" else "per_channel")
    (got,) = interpret(quantize_graph(graph, calibrate(graph, [x]), config), [x.numpy()])
    right = model(x).detach().numpy().astype(np.float64)
    assert np.linalg.norm(got - right) < most * np.linalg.norm(right)


@pytest.mark.parametrize("qtype", ["i2", "i4", "i8", "b1"])
@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor", "per_group:4"])
@pytest.mark.parametrize("scale", ["float", "power_of_two"])
def test_integers_do_not_depend_on_the_magnitude(qtype: str, granularity: str, scale: str) -> None:
    """Searches of scales square the weights: nothing of that may leave float32."""
    config = QuantizationConfig(qtype, "u8", granularity="per_channel" if qtype == "i8" else granularity, scale=scale)
    w = np.random.default_rng(0).standard_normal((5, 16, 3, 3), np.float32)
    q, params = quantize_weights(w, config.weights, None, config)
    for power in (-100, -70, 70, 100):
        scaled, other = quantize_weights(np.ldexp(w, power), config.weights, None, config)
        np.testing.assert_array_equal(scaled, q)
        np.testing.assert_array_equal(other.scale, np.ldexp(params.scale, power))


def test_a_bias_beside_dead_weights_and_huge_inputs() -> None:
    import torch

    model = torch.nn.Linear(4, 2).eval()
    with torch.no_grad():
        model.weight[0] = 0
        model.weight[1] = 1e-30
        model.bias[:] = torch.tensor([3.0, 1.0])
    x = torch.full((1, 4), 1e30)
    graph = lowbit.trace(model, x)
    (got,) = interpret(quantize_graph(graph, calibrate(graph, [x]), QuantizationConfig("i8", "u8")), [x.numpy()])
    np.testing.assert_allclose(got, [[3.0, 5.0]], rtol=1e-2)


def test_fixed_scales_that_overflow_are_refused() -> None:
    model, x = _network(1.0, 1.0, 1.0)
    graph = lowbit.trace(model, x)
    config = QuantizationConfig("i8", "u8", scale="fixed:-64")
    with pytest.raises(NumericsError, match=r"\(linear.*results of up to .* are not finite in float32: the inputs have scale"):
        quantize_graph(graph, calibrate(graph, [x]), config)


def test_fixed_scales_that_almost_vanish_are_kept() -> None:
    model, x = _network(1.0, 1.0, 1.0)
    for layer in (model[0], model[2], model[4]):
        layer.bias.data.zero_()  # one that the accumulator does not hold would raise its channel's scale
    graph = lowbit.trace(model, x)
    integer = quantize_graph(
        graph, calibrate(graph, [x]), QuantizationConfig("i8", "u8", scale="fixed:64", bias_correction=False)
    )
    assert {float(t.quant.scale.max()) for t in integer.types.values() if t.quant is not None} == {2.0**-64}
