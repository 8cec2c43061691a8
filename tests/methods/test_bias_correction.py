"""Biases bring the mean behind the clamp back, not the one before it."""

from __future__ import annotations

import pytest
import torch

from lowbit.methods.bias_correction import shift_of_means


@pytest.mark.parametrize(("lo", "hi"), [(None, None), (0.0, None), (0.0, 6.0)])
def test_means_are_equal_behind_the_clamp(lo: float | None, hi: float | None) -> None:
    draw = torch.Generator().manual_seed(0)
    exact = 3 * torch.randn(5, 4000, generator=draw) + torch.linspace(-2, 4, 5)[:, None]
    quantized = exact + 0.5 * torch.randn(5, 4000, generator=draw) + torch.tensor([0.4, -0.3, 1.0, 0.0, -2.0])[:, None]
    t = shift_of_means(exact, quantized, lo, hi)

    def mean(y: torch.Tensor) -> torch.Tensor:
        return y.clamp(-torch.inf if lo is None else lo, torch.inf if hi is None else hi).mean(1, dtype=torch.float64)

    torch.testing.assert_close(mean(quantized + t[:, None].float()), mean(exact), rtol=1e-3, atol=1e-3)
    if lo is None:
        torch.testing.assert_close(t, (exact - quantized).double().mean(1), rtol=1e-3, atol=1e-3)


def test_what_is_cut_off_does_not_count() -> None:
    """Errors far below a ReLU move the mean in front of it; the channel is right as it is."""
    exact = torch.cat([torch.full((1, 900), -50.0), torch.rand(1, 100)], 1)
    quantized = torch.where(exact < 0, exact - 10, exact)
    assert abs(float(shift_of_means(exact, quantized, 0.0, None))) < 1e-6
    assert float(shift_of_means(exact, quantized, None, None)) == pytest.approx(9.0, rel=1e-3)


def test_channels_that_are_always_cut_off_stay() -> None:
    exact = torch.full((1, 50), -3.0)
    assert float(shift_of_means(exact, exact - 1, 0.0, None)) == 0.0
