"""Reading from and writing to constant positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import import_model
from lowbit.graph.rebatch import mixes_rows
from lowbit.passes import canonicalize
from tests.frontend.written import gives_what_torch_gives

X = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
ORDER = torch.randperm(6, generator=torch.Generator().manual_seed(2))
EACH = torch.randint(6, (2, 4, 3, 6), generator=torch.Generator().manual_seed(3))
SOME = torch.rand(6, 6, generator=torch.Generator().manual_seed(4)) > 0.5


def _write(key: Any, value: Any) -> Callable[[Tensor], Tensor]:
    def written(x: Tensor) -> Tensor:
        y = x * 2
        y[key] = value(x) if callable(value) else value
        return y

    return written


def _grid_of_a_detector(x: Tensor) -> Tensor:
    """Coordinates made absolute in place, as detectors write it."""
    y = x.sigmoid()
    y[..., 0:2] = (y[..., 0:2] * 2 - 0.5 + torch.arange(6.0)[:, None]) * 8
    y[..., 2:4] = (y[..., 2:4] * 2) ** 2 * torch.tensor([3.0, 5.0])
    return y


CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "channels": _write((slice(None), [0, 2]), 0.0),
    "channels_of_values": _write((slice(None), [2, 0]), lambda x: x[:, :2]),
    "channels_of_one": _write((slice(None), [3, 1]), lambda x: x[:, :1] * 3),
    "channels_of_constants": _write((slice(None), [3, 1]), X[:, :2] * 5),
    "detector": _grid_of_a_detector,
    "diagonal": lambda x: x.diagonal_scatter(x[:, :, 0], 1, 2, 3) if x.shape[2] == 7 else x.diagonal_scatter(x[..., 0], 0, 2, 3),
    "every_second": _write((slice(None), slice(None), slice(1, None, 2)), lambda x: x[:, :, :3]),
    "filled": lambda x: x.index_fill(3, torch.tensor([1, 4]), 7.0),
    "gathered": lambda x: x.gather(2, EACH),
    "gathered_rows": lambda x: x.gather(0, torch.tensor([1, 0, 1]).reshape(3, 1, 1, 1).expand(3, 4, 6, 6)),
    "masked": _write((slice(None), slice(None), SOME), 1.5),
    "masked_scatter": lambda x: x.masked_scatter(SOME, x.flip(1)),
    "one": _write(([1], [0]), torch.tensor([3.0])),
    "pairs": _write((slice(None), [0, 1, 3], [5, 0, 2]), lambda x: x[:, 1:, 0]),
    "copied": lambda x: x.index_copy(1, torch.tensor([3, 0]), x[:, 1:3] * 2),
    "rows": _write([1], lambda x: x[:1]),
    "scattered": lambda x: x.scatter(2, EACH, 9.0),
    "scattered_values": lambda x: x.scatter(3, ORDER.expand(2, 4, 6, 6), x.flip(3) * 2),
    "selected": lambda x: x.select_scatter(x[:, 0] * 2, 1, -2),
    "sliced": lambda x: x.slice_scatter(x[:, :2] * 2, 1, 1, 3) + x.slice_scatter(x[..., :3], -1, 0, 6, 2),
    "taken": lambda x: x.take(torch.tensor([[0, 287], [5, 5]])),
    "taken_along": lambda x: x.take_along_dim(torch.tensor([[[[0] * 6, [3] * 6]]]), 2) + x.take_along_dim(EACH[:, :, :2], 2),
    "twice_the_same": _write((slice(None), torch.tensor([1, 1])), torch.tensor([[[1.0]], [[2.0]]])),
}  # fmt: skip


class Written(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) * 1.0


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_torch_gives(name: str) -> None:
    model = Written(CASES[name])
    gives_what_torch_gives(model, X, 1e-6)


@pytest.mark.parametrize(
    "name", sorted(set(CASES) - {"gathered_rows", "rows", "taken", "scattered_values", "masked_scatter", "one"})
)
def test_rows_stay_apart(name: str) -> None:
    """Those of other batches can be calibrated and judged then; constants of several rows keep theirs."""
    graph = canonicalize(import_model(Written(CASES[name]), X))
    assert not mixes_rows(graph) or name in ("channels_of_constants", "gathered", "scattered", "taken_along"), mixes_rows(graph)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x.scatter(1, torch.zeros(2, 4, 6, 6, dtype=torch.int64), x, reduce="add"), "adds to what is there"),
        (lambda x: x.index_put((torch.tensor([0]),), x[:1], accumulate=True), "adds to what is there"),
        (lambda x: x.gather(1, x.argmax(1, keepdim=True)), "positions"),
        (lambda x: x.index_add(1, torch.tensor([0]), x[:, :1]), "adding into a part"),
    ],
)
def test_what_is_not_meant_is_refused(function: Callable[[Tensor], Tensor], why: str) -> None:
    with pytest.raises(UnsupportedOperation, match=why):
        import_model(Written(function), X)


def test_an_order_without_a_rule_may_be_so_long() -> None:
    x = torch.randn(1, 4, 150, 150)
    order = torch.randint(150, (1, 4, 150, 150))
    with pytest.raises(UnsupportedOperation, match="90000 elements in an order that no axis explains; supported are 65536"):
        import_model(Written(lambda x: x.gather(2, order)), x)
