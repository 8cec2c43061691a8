"""In-place operations: a value and its copies are different values, whatever made the copy; views share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbit.errors import UnsupportedOperation
from lowbit.frontend import evaluate, import_model
from tests.frontend.cases import Lambda

X = (2, 4, 6, 3)

_COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "clone": lambda x: x.clone(),
    "cat": lambda x: torch.cat([x]),
    "cat_with_empty": lambda x: torch.cat([x, torch.zeros(2, 0, 6, 3)], 1),
    "cat_with_legacy_empty": lambda x: torch.cat([torch.zeros(0), x]),
    "stack": lambda x: torch.stack([x])[0],
    "power_1": lambda x: x**1,
    "pad_0": lambda x: F.pad(x, (0, 0)),
    "to_copy": lambda x: x.to(torch.float32, copy=True),
    "expand_contiguous": lambda x: x.expand(2, 4, 6, 3).clone(),
    "contiguous_of_permuted": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "reshape_of_permuted": lambda x: x.transpose(2, 3).reshape(2, 4, 18).view(2, 4, 3, 6).transpose(2, 3),
    "repeat_1": lambda x: x.repeat(1, 1, 1, 1),
    "mean_of_one": lambda x: x.unsqueeze(0).mean(0),
    "amax_of_one": lambda x: x.unsqueeze(0).amax(0),
    "pool_of_one": lambda x: F.max_pool2d(x, 1),
}
_VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda x: x,
    "contiguous": lambda x: x.contiguous(),
    "detach": lambda x: x.detach(),
    "to": lambda x: x.to(torch.float32).float(),
    "type_as": lambda x: x.type_as(x),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "dropout2d": lambda x: F.dropout2d(x, 0.5, training=False),
    "whole_slice": lambda x: x[:, 0:4],
    "view": lambda x: x.view(2, 24, 3),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transposed_twice": lambda x: x.transpose(1, 2).transpose(0, 3),
    "movedim": lambda x: x.movedim(1, -1),
    "expand_as": lambda x: x.expand_as(x),
    "rows": lambda x: x[:, :, 1:4],
    "last_rows": lambda x: x[:, :, -2:],
    "every_other": lambda x: x[:, 1::2],
    "every_third_from_1": lambda x: x[:, :, 1::3],
    "every_fourth_with_rest": lambda x: x[:, :, ::4],
    "select": lambda x: x[:, 2],
    "select_last": lambda x: x.select(-1, -1),
    "narrow": lambda x: x.narrow(2, 2, 3),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split([1, 2, 1], 1)[1],
    "unbind": lambda x: x.unbind(2)[4],
    "tensor_split": lambda x: x.tensor_split(3, 2)[0],
    "view_of_part": lambda x: x[:, 1:3].permute(0, 2, 3, 1)[..., 1],
    "part_of_view": lambda x: x.view(2, 4, 18)[:, 1:3],
}
_WRITES: dict[str, Callable[[Tensor], object]] = {
    "relu_": lambda y: y.relu_(),
    "mul_": lambda y: y.mul_(3),
    "zero_": lambda y: y.zero_(),
    "fill_": lambda y: y.fill_(2.5),
    "copy_": lambda y: y.copy_(torch.sigmoid(y) + 1),
    "setitem": lambda y: y.__setitem__(..., 0.5),
    "add_twice": lambda y: y.add_(1).mul_(y),
    "out": lambda y: torch.mul(y, 2, out=y),
    "iadd": lambda y: y.__iadd__(y.mean()),
}


def _check(function: Callable[..., object], *shapes: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    inputs = [torch.randn(shape) for shape in shapes or (X,)]
    module = Lambda(lambda self, *xs: function(*xs)).eval()
    want = module(*(x.clone() for x in inputs))
    got = evaluate(import_model(module, tuple(inputs)), [x.clone() for x in inputs])
    want = want if isinstance(want, tuple) else (want,)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("copy", _COPIES)
def test_a_write_to_a_copy_leaves_the_original(copy: str) -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for write in _WRITES.values():
            base = x * 2
            y = _COPIES[copy](base)
            write(y)
            results += [base + 1, y * 2 + x]
        return tuple(results)

    _check(function)


@pytest.mark.parametrize("view", _VIEWS)
def test_a_write_to_a_view_reaches_its_base(view: str) -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for write in _WRITES.values():
            base = x * 2
            y = _VIEWS[view](base)
            other = base.view(2, 12, 6)
            write(y)
            results += [base + x, y * 2 + x.mean(), other * 3 + x.mean()]
        return tuple(results)

    _check(function)


@pytest.mark.parametrize("view", _VIEWS)
def test_a_write_to_the_base_reaches_its_views(view: str) -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        base = x * 2
        y, z = _VIEWS[view](base), base.flatten()
        base.sub_(1)
        z.mul_(y.sum())
        return y * 2, base + 0, z

    _check(function)


@pytest.mark.parametrize("view", _VIEWS)
def test_a_write_to_the_input(view: str) -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        y = x + 1
        _VIEWS[view](x).relu_()
        return x * 1, y

    _check(function)


def _parts(x: Tensor) -> Tensor:
    first, second = (x + 1).chunk(2, 1)
    first.mul_(3)
    return first + second


def _interleaved(x: Tensor) -> Tensor:
    y = x * 2
    a, b = y[:, 1:], y[:, :3]
    a.add_(1)
    b.mul_(2)
    a.sub_(b.mean())
    return torch.cat([a, b, y], 1)


def _regions(x: Tensor) -> Tensor:
    x[:, :1].mul_(0.5)
    y = x * 2
    y[..., :2] = 0.0
    y[:, 1::2].clamp_(max=0.5)
    return y + x


def _buffer_made_here(x: Tensor) -> Tensor:
    buffer = torch.zeros(2, 6, 6, 3)
    buffer[:, 1:5] = x
    buffer[:, 0].add_(1)
    return buffer * 2


def _dropout_of_a_constant(x: Tensor) -> Tensor:
    return F.dropout(torch.ones(3), 0.5, training=False) * x


def _out_elsewhere(x: Tensor) -> Tensor:
    y = x * 3
    view = y[:, :2]
    torch.add(x, 1, out=y)
    return view + x[:, :2]


def _in_place_views(x: Tensor) -> Tensor:
    y = x * 2
    z = y.view(-1)
    y.unsqueeze_(0).squeeze_(0).transpose_(1, 2)
    y.relu_()
    return y.sum((1, 2)) + z.mean()


def _every_row(x: Tensor) -> Tensor:
    y = x * 2
    for index in range(6):
        y[:, :, index] = y[:, :, index] + y[:, :, index - 1]
    return y


def _lists(x: Tensor) -> Tensor:
    y = x * 2
    flat = y.view(-1)
    y[:, [2, 0]] = 0.5
    y[:, :, [1]] += x[:, :, :1]
    x[:, [1]] = y[:, [1]] * 3
    flat[[0, 7]] = 4.0
    return x + y + flat.mean()


@pytest.mark.parametrize(
    "function",
    [
        _lists,
        _parts,
        _interleaved,
        _regions,
        _buffer_made_here,
        _dropout_of_a_constant,
        _out_elsewhere,
        _in_place_views,
        _every_row,
    ],
)
def test_several_writes(function: Callable[[Tensor], Tensor]) -> None:
    _check(function)


def test_inputs_that_are_one_tensor_in_the_example_are_two_in_the_network() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        x.relu_()
        return x + y

    example = torch.randn(2, 3)
    graph = import_model(Lambda(lambda self, *xs: function(*xs)), (example, example))
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(evaluate(graph, [a, b])[0], a.relu() + b)


class _Buffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("tail", torch.ones(3))
        self.plain = torch.ones(3)

    def forward(self, x: Tensor) -> Tensor:
        view = self.tail.view(1, 3)
        view += 1
        return x * view + self.tail


class _Plain(_Buffer):
    def forward(self, x: Tensor) -> Tensor:
        self.plain[:2].mul_(2)
        return x * self.plain


@pytest.mark.parametrize(("module", "name"), [(_Buffer, "tail"), (_Plain, "plain")])
def test_state_is_refused_also_through_views(module: type[nn.Module], name: str) -> None:
    model = module()
    with pytest.raises(UnsupportedOperation, match=rf"test_memory.py:\d+.*it changes {name}, a parameter or buffer"):
        import_model(model, torch.ones(2, 3))
    assert torch.equal(model.tail, torch.ones(3))
    assert torch.equal(model.plain, torch.ones(3))


def _diagonal(x: Tensor) -> Tensor:
    y = x * 2
    y.diagonal(0, 2, 3).zero_()
    return y


def _foreach(x: Tensor) -> Tensor:
    y = torch.zeros(2)
    torch._foreach_add_([y], 1)
    return x + y.sum()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_diagonal, "aten.diagonal"),
        (_foreach, r"aten._foreach_add_.*it writes to its operands self"),
        (lambda x: x.unfold(1, 2, 1).sub_(1.0), "it writes into windows that overlap, where an element has several values"),
    ],
)
def test_writes_that_cannot_be_followed_are_refused(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(UnsupportedOperation, match=message):
        import_model(Lambda(lambda self, x: function(x)), torch.zeros(X))
