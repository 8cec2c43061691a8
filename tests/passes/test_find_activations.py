"""Activation functions in every spelling people use, and what only looks like one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowbit
from lowbit.frontend import evaluate, import_model
from lowbit.graph.interpreter import interpret
from lowbit.passes import canonicalize

WRITTEN: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "gelu": ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
    "gelu_divided": ("gelu", lambda x: (torch.erf(x / 1.4142135381698608) + 1) * x / 2),
    "gelu_tanh": ("gelu_tanh", lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "hardsigmoid": ("hardsigmoid", lambda x: (x / 6 + 0.5).clamp(0, 1)),
    "hardswish": ("hardswish", lambda x: x * F.relu6(x + 3) / 6),
    "hardswish_first_divided": ("hardswish", lambda x: x * (F.relu6(x + 3) * (1 / 6))),
    "hardswish_of_hardsigmoid": ("hardswish", lambda x: F.hardsigmoid(x) * x),
    "mish": ("mish", lambda x: x * torch.tanh(F.softplus(x))),
    "sigmoid": ("sigmoid", lambda x: 1 / (1 + torch.exp(-x))),
    "silu": ("silu", lambda x: x * torch.sigmoid(x)),
    "silu_divided": ("silu", lambda x: x / (1 + torch.exp(-x))),
    "softsign": ("softsign", lambda x: x / (1 + x.abs())),
    "tanh": ("tanh", lambda x: 2 * torch.sigmoid(2 * x) - 1),
}

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "of_two_values": lambda x: x * torch.sigmoid(x.flip(1)),
    "another_slope": lambda x: x * torch.sigmoid(1.702 * x),
    "another_bound": lambda x: x * (x + 3).clamp(0, 5.99) / 6,
    "a_number_a_channel": lambda x: x * torch.sigmoid(x * torch.tensor([1.0, 1.0, 1.0, 1.001]).reshape(4, 1, 1)),
    "broadcast": lambda x: x * torch.sigmoid(x[:, :1]),
    "far_away": lambda x: (x * torch.sigmoid(x)).clamp(max=5000.0),
}


class _After(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


X = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(1)) * 4


@pytest.mark.parametrize("name", WRITTEN)
def test_is_found_in_every_spelling(name: str) -> None:
    fn, function = WRITTEN[name]
    model = _After(function)
    graph = canonicalize(import_model(model, X))
    assert [(node.op, node.attrs.get("fn")) for node in graph.nodes] == [("conv2d", None), ("unary", fn)]
    with torch.no_grad():
        torch.testing.assert_close(evaluate(graph, [X])[0], model(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_another_function_stays(name: str) -> None:
    model = _After(OTHERS[name])
    graph = canonicalize(import_model(model, X))
    assert not any(node.attrs.get("fn") in ("silu", "hardswish") for node in graph.nodes) or name == "far_away"
    with torch.no_grad():
        torch.testing.assert_close(evaluate(graph, [X])[0], model(X), rtol=1e-5, atol=1e-5)


def test_a_step_that_is_read_elsewhere_is_computed_as_well() -> None:
    def both(x: Tensor) -> Tensor:
        gate = torch.sigmoid(x)
        return torch.cat([x * gate, gate], 1)

    model = _After(both)
    graph = canonicalize(import_model(model, X))
    assert sorted(str(node.attrs["fn"]) for node in graph.nodes if node.op == "unary") == ["sigmoid", "silu"]
    with torch.no_grad():
        torch.testing.assert_close(evaluate(graph, [X])[0], model(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["hardswish", "silu", "gelu"])
def test_at_eight_bits_it_is_as_good_as_the_function_itself(name: str) -> None:
    fn, function = WRITTEN[name]
    whole = {"hardswish": F.hardswish, "silu": F.silu, "gelu": F.gelu}[fn]
    outputs = []
    for each in (function, whole):
        net = lowbit.compile(_After(each), X, config="8/int8", calibration=[X], method="nearest")
        y = net(X.numpy())
        assert np.array_equal(y, interpret(net.graph(), [X.numpy()])[0])
        outputs.append(y)
    assert np.array_equal(*outputs)
