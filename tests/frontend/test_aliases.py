"""In-place operations: when functionalization is asked for, and that the result is right either way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lowbit.frontend import evaluate, import_model
from lowbit.frontend.aliases import writes_through_views
from tests.frontend.cases import Lambda


def _plain(x: Tensor) -> Tensor:
    y = x + 1
    y.relu_()
    return y * 2


def _flattened(x: Tensor) -> Tensor:
    return (x + 1).flatten(1).relu_() * 2


def _view_then_base(x: Tensor) -> Tensor:
    y = x + 1
    y.flatten(1).relu_()
    return y * 2


def _base_then_view(x: Tensor) -> Tensor:
    y = x + 1
    view = y.flatten(1)
    y.relu_()
    return view * 2


def _part(x: Tensor) -> Tensor:
    y = x + 1
    first, second = y.chunk(2, 1)
    first.mul_(3)
    return first + second


@pytest.mark.parametrize(
    ("function", "through_views"),
    [(_plain, False), (_flattened, False), (_view_then_base, True), (_base_then_view, True), (_part, True)],
)
def test_writes(function: Callable[[Tensor], Tensor], through_views: bool) -> None:
    torch.manual_seed(0)
    model, x = Lambda(lambda self, x: function(x)), torch.randn(2, 4, 3)
    program = torch.export.export(model, (x,), strict=False)
    assert writes_through_views(program.graph) is through_views
    if function is _part:
        return  # disjoint parts: torch's functional form scatters, which is refused
    (y,) = evaluate(import_model(model, x), [x])
    torch.testing.assert_close(y, function(x.clone()))
