"""Operations that move or rename elements, and those that do nothing in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = [
    "expand",
    "filled",
    "identity",
    "move",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "reshape",
    "shuffle",
    "transpose",
]

_BROADCASTS = frozenset({"add", "sub", "mul"})


def identity(b: Builder, call: Call) -> Value:
    """The value itself: copies, layout hints, dropout in evaluation, conversion to float32."""
    if call.args.get("train"):
        call.refuse("dropout is active although the model is in evaluation mode; pass training=self.training, or leave it out")
    return call.args["input"] if "input" in call.args else call.args["self"]


def reshape(b: Builder, call: Call) -> Value:
    """Same elements in the same order."""
    return b.reshape(call, activation(call, call.args["self"]), call.shape)


def permute(b: Builder, call: Call) -> Value:
    """Axis k of the result is axis dims[k]."""
    x = activation(call, call.args["self"])
    return b.permute(call, x, [dim % len(call.shape) for dim in call.args["dims"]])


def transpose(b: Builder, call: Call) -> Value:
    """Two axes exchanged (``t``: the two of a matrix)."""
    x = activation(call, call.args["self"])
    rank = len(b.shape(x))
    first, second = call.args.get("dim0", call.args.get("axis0", 0)), call.args.get("dim1", call.args.get("axis1", rank - 1))
    dims = list(range(rank))
    if rank > 1:
        dims[first], dims[second] = dims[second], dims[first]
    return b.permute(call, x, dims)


def move(b: Builder, call: Call) -> Value:
    """``movedim``: axis source[k] goes to place destination[k], the others keep their order."""
    x = activation(call, call.args["self"])
    rank = len(b.shape(x))
    pairs = [call.args[name] for name in ("source", "destination")]
    source, destination = ([axes] if isinstance(axes, int) else list(axes) for axes in pairs)
    placed = {to % rank: origin % rank for origin, to in zip(source, destination, strict=True)}
    others = iter(axis for axis in range(rank) if axis not in placed.values())
    return b.permute(call, x, [placed[axis] if axis in placed else next(others) for axis in range(rank)])


def expand(b: Builder, call: Call) -> Value:
    """Broadcasting ahead of arithmetic, which broadcasts by itself."""
    x = activation(call, call.args["self"])
    if b.shape(x) == call.shape:
        return x
    if not call.readers or not set(call.readers) <= _BROADCASTS:
        call.refuse("repeating an activation is supported only as an operand of add, sub or mul")
    return x


def filled(value: float | None) -> Callable[[Builder, Call], Value]:
    """A constant of the result's shape, whatever the values of the operand."""

    def handle(b: Builder, call: Call) -> Value:
        return torch.full(call.shape, float(call.args["fill_value"] if value is None else value))

    return handle


def _split_permute(b: Builder, call: Call, split: list[int], dims: list[int]) -> Value:
    x = b.reshape(call, activation(call, call.args["self"]), split)
    return b.reshape(call, b.permute(call, x, dims), call.shape)


def shuffle(b: Builder, call: Call) -> Value:
    """``channel_shuffle``: channels (groups, C / groups) read column by column."""
    n, c, *rest = b.shape(call.args["self"])
    groups = call.args["groups"]
    return _split_permute(b, call, [n, groups, c // groups, prod(rest)], [0, 2, 1, 3])


def pixel_shuffle(b: Builder, call: Call) -> Value:
    """(N, C r^2, H, W) -> (N, C, H r, W r)."""
    r = call.args["upscale_factor"]
    n, c, h, w = b.shape(call.args["self"])
    return _split_permute(b, call, [n, c // r**2, r, r, h, w], [0, 1, 4, 2, 5, 3])


def pixel_unshuffle(b: Builder, call: Call) -> Value:
    """(N, C, H r, W r) -> (N, C r^2, H, W)."""
    r = call.args["downscale_factor"]
    n, c, h, w = b.shape(call.args["self"])
    return _split_permute(b, call, [n, c, h // r, r, w // r, r], [0, 1, 3, 5, 2, 4])
