"""GPTQ: the error of the layer's output is less than that of the nearest integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowbit.methods.gptq import round_in_order


@pytest.mark.parametrize("groups", [1, 3])
def test_the_error_of_the_output_is_less(groups: int) -> None:
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(groups, 10, 10, generator=draw, dtype=torch.float64)
    x = torch.randn(groups, 500, 10, generator=draw, dtype=torch.float64) @ mixing
    w = torch.randn(groups, 6, 10, generator=draw, dtype=torch.float64)
    step = torch.full_like(w, 0.5)
    hessian = torch.bmm(x.transpose(1, 2), x) / 500
    q = round_in_order(w, step, hessian, 0.01, -8, 7)
    assert torch.equal(q, q.round())
    assert q.min() >= -8
    assert q.max() <= 7

    def error(q: torch.Tensor) -> float:
        return float(torch.bmm(x, (w - q * step).transpose(1, 2)).square().sum())

    assert error(q) < 0.6 * error(torch.round(w / step))


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    w = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 6)))
    hessian = torch.zeros(1, 6, 6, dtype=torch.float64)
    q = round_in_order(w, torch.full_like(w, 0.1), hessian, 0.01, -8, 7)
    assert torch.equal(q, torch.round(w / 0.1).clamp(-8, 7))
