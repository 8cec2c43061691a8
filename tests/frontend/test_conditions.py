"""Conditions that are computed from the input: compared, joined, moved, chosen by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.graph.interpreter import interpret
from tests.frontend.written import gives_what_torch_gives

X = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
X[0, 0, 0, :2] = torch.tensor([0.0, -0.0])
SHOWN = torch.arange(6) > 2

CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "all": lambda x: (x < 2).all(1).float() + (x > -3).all().float(),
    "and": lambda x: torch.where((x > -1) & (x < 1), x, 0.0),
    "and_constant": lambda x: ((x > 0) & SHOWN).float(),
    "any": lambda x: (x > 2).any(1, keepdim=True).float() + (x > 9).any().float(),
    "any_of_no_axes": lambda x: torch.ops.aten.any.dims(x > 1, [], True).float(),
    "any_of_axes": lambda x: torch.any(x > 1, (1, -1)).float(),
    "bitwise": lambda x: torch.bitwise_not(torch.bitwise_or(x > 1, x < -1)).float(),
    "eq": lambda x: (x.relu() == 0).float(),
    "filled": lambda x: x.masked_fill(x < 0, 0.25),
    "ge": lambda x: torch.where(x >= x.flip(1), x, x.flip(1) * 2),
    "in_place": lambda x: (x * 2).masked_fill_(x <= 0, -1.0),
    "joined": lambda x: torch.cat([x > 0, x < 1], 1).float() + torch.stack([x > 1, SHOWN.expand(x.shape)], 1).flatten(1, 2),
    "leaky": lambda x: torch.where(x > 0, x, 0.1 * x),
    "le_broadcast": lambda x: torch.where(x[:, :1] <= 0, x, -x),
    "lt_of_two": lambda x: torch.lt(x, x * x).to(x.dtype),
    "moved": lambda x: torch.where((x > 0).flatten(2)[:, :, 1:25].reshape(-1, 4, 4, 6).transpose(2, 3), 1.0, -2.0),
    "ne": lambda x: (x.relu() != 0).type_as(x) - 1,
    "not": lambda x: torch.where(~(x < 0), x, 1.0),
    "nothing": lambda x: torch.where(x > 0, torch.zeros(6), torch.zeros(6)) + x,
    "number_and_not": lambda x: (1 - (x > 0).float()) * x,
    "or": lambda x: torch.where((x < -1) | (x > 1), x.sign(), x),
    "or_constant": lambda x: (SHOWN | (x > 0)).float(),
    "product": lambda x: (x > 0.5) * x,
    "share": lambda x: (x > 0).float().mean(1),
    "two_numbers": lambda x: torch.where(x > 0, 2.0, 3.0),
    "xor": lambda x: ((x > 0) ^ (x.flip(1) > 0)).float(),
}


DEFINED_IN_PART: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda x: torch.where(x > 0, x.log(), 0.0),
    "log_of_a_sum": lambda x: torch.where(x > 0.5, (x - 0.5).log() * 2 + 1, x),
    "elu_by_hand": lambda x: torch.where(x > 0, x, (60 * x).exp() - 1),
    "root_of_constants": lambda x: torch.where(X > 0, (x.abs() * X).sqrt(), x),
    "quotient": lambda x: torch.where(x != 0, x.flip(1) / x, 7.0),
    "filled": lambda x: x.rsqrt().masked_fill(x <= 0, 0.0),
    "power": lambda x: torch.where(x > 0, x**0.3, -((-x) ** 0.7)),
    "both": lambda x: torch.where(x > 0, x.log(), (-x).log1p()),
}


class Written(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_torch_gives(name: str) -> None:
    model = Written(CASES[name])
    gives_what_torch_gives(model, X, 1e-6)


@pytest.mark.parametrize("name", sorted(DEFINED_IN_PART))
def test_what_is_not_chosen_may_be_no_number(name: str) -> None:
    model = Written(DEFINED_IN_PART[name])
    assert model(X).isfinite().all()
    gives_what_torch_gives(model, X, 1e-5)


@pytest.mark.parametrize("name", ["leaky", "and", "filled", "moved"])
def test_a_convolution_and_what_its_values_decide(name: str) -> None:
    """The compiled network equals torch in float, the interpreter in integers, and torch again up to the rounding of 8 bits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Written(CASES[name])).eval()
    x = torch.randn(8, 3, 6, 6)
    with torch.no_grad():
        wanted = model(x).numpy()
    np.testing.assert_allclose(lowbit.compile(model, x)(x.numpy()), wanted, rtol=1e-5, atol=1e-5)
    net = lowbit.compile(model, x, config="8/int8", calibration=[x], method="nearest")
    got = net(x.numpy())
    assert np.array_equal(got, interpret(net.graph(), [x.numpy()])[0])
    share = 0.25 if name == "moved" else 0.05  # signs near 0 turn
    assert np.square(got - wanted).sum() < share * np.square(wanted).sum()
