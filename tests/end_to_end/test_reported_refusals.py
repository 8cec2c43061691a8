"""Reported elsewhere as silently wrong: refused here in one line, before data is read or a kernel built, or right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowbit
from lowbit.errors import UnsupportedOperation
from tests.end_to_end.reported import Net, alive

Made = tuple[nn.Module, tuple[Tensor, ...]]


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias, self.stride, self.padding)


def _recognise_text(net: Net, x: Tensor) -> Tensor:
    return net.head(net.rnn(F.relu(net.cnn(x)).squeeze(2).permute(2, 0, 1))[0]).log_softmax(2)


def _unpool(net: Net, x: Tensor) -> Tensor:
    pooled, where = F.max_pool2d(net.a(x), 2, return_indices=True)
    return net.b(F.max_unpool2d(pooled, where, 2))


def _streaming(net: Net, x: Tensor) -> Tensor:
    y = net.a(torch.cat((net.tail, x), -1))
    net.tail.copy_(x[..., -2:])
    return y


A, B = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)

REFUSED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "unpooling": (lambda: Net(_unpool, a=A, b=B), (1, 3, 8, 8), r"result 1 of .*indices.* pixel_shuffle"),
    "video": (
        lambda: nn.Sequential(nn.Conv3d(3, 4, (1, 3, 3)), nn.BatchNorm3d(4)),
        (1, 3, 2, 6, 6),
        "nn.Conv3d .*in 0: 3 spatial axes",
    ),
    "text": (
        lambda: Net(_recognise_text, cnn=nn.Conv2d(1, 6, (8, 3)), rnn=nn.LSTM(6, 5, bidirectional=True), head=nn.Linear(10, 4)),
        (1, 1, 8, 20),
        r"nn.LSTM .*in rnn .*recurrent layers",
    ),
    "dropout": (
        lambda: Net(lambda net, x: F.dropout2d(net.a(x), 0.1), a=A),
        (1, 3, 8, 8),
        "dropout2d .*active although .* pass training=self.training",
    ),
    "state": (
        lambda: Net(_streaming, a=nn.Conv1d(3, 4, 3), tail=torch.zeros(1, 3, 2)),
        (1, 3, 9),
        "it changes tail, .* has no state",
    ),
}


@pytest.mark.parametrize("config", ["fp32", "8/int8"])
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line_before_any_work(kind: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, shape, words = REFUSED[kind]

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("kernels were built")

    def samples() -> Iterator[Tensor]:
        raise AssertionError("data was read")
        yield

    monkeypatch.setattr("lowbit.backend.cache.compile_kernels", never)
    model = make().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UnsupportedOperation, match=words) as error:
        lowbit.compile(model, normal(*shape), config=config, calibration=None if config == "fp32" else samples())
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_example_that_the_network_writes_to_is_left_alone() -> None:
    model = alive(Net(lambda net, x: net.a(x.mul_(0.5)), a=nn.Conv2d(3, 4, 3)), 1)
    example = normal(1, 3, 6, 6)
    kept = example.clone()
    network = lowbit.compile(model, example, config="8/int8", calibration=[example], threads=1)
    got = network(example)
    assert torch.equal(example, kept)
    with torch.no_grad():
        np.testing.assert_allclose(np.asarray(got), model(kept.clone()).numpy(), atol=0.05)
