"""Operations that move or rename elements, and those that do nothing in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = [
    "copy",
    "expand",
    "expand_to",
    "fill",
    "filled",
    "identity",
    "move",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "repeat",
    "repeat_interleave",
    "reshape",
    "shuffle",
    "transpose",
]


def identity(b: Builder, call: Call) -> Value:
    """The value itself: copies, layout hints, dropout in evaluation, conversion to float32."""
    if call.args.get("train"):
        call.refuse("dropout is active although the model is in evaluation mode; pass training=self.training, or leave it out")
    call.args.without_effect("p", "copy", "other")
    return call.args["input"] if "input" in call.args else call.args["self"]


def reshape(b: Builder, call: Call) -> Value:
    """Same elements in the same order."""
    call.args.shape_only(*call.args)
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
    if not rank:
        call.args.shape_only("source", "destination")
        return x
    pairs = [call.args[name] for name in ("source", "destination")]
    source, destination = ([axes] if isinstance(axes, int) else list(axes) for axes in pairs)
    placed = {to % rank: origin % rank for origin, to in zip(source, destination, strict=True)}
    others = iter(axis for axis in range(rank) if axis not in placed.values())
    return b.permute(call, x, [placed[axis] if axis in placed else next(others) for axis in range(rank)])


def expand_to(b: Builder, call: Call, x: str, shape: Sequence[int]) -> str:
    """``x`` broadcast to a shape, as torch's ``expand`` does: every axis of 1 repeated."""
    shape = tuple(shape)
    x = b.reshape(call, x, (1,) * (len(shape) - len(b.shape(x))) + b.shape(x))
    return x if b.shape(x) == shape else b.emit(call, "expand", [x], shape, shape=shape)


def expand(b: Builder, call: Call) -> Value:
    """Axes of extent 1 repeated, new ones in front."""
    call.args.shape_only("size", "other")
    return expand_to(b, call, activation(call, call.args["self"]), call.shape)


def _repeat(b: Builder, call: Call, x: str, outer: int, count: int) -> str:
    """``x`` as (outer, inner), the inner part ``count`` times in a row, flat."""
    inner = prod(b.shape(x)) // outer
    x = b.reshape(call, x, (outer, 1, inner))
    return b.reshape(call, expand_to(b, call, x, (outer, count, inner)), (outer * count * inner,))


def repeat(b: Builder, call: Call) -> Value:
    """The whole tensor again and again along every axis (``repeat``, ``tile``)."""
    x = activation(call, call.args["self"])
    counts = list(call.args["repeats"] if "repeats" in call.args else call.args["dims"])
    shape = list(b.shape(x))
    counts, shape = [1] * (len(shape) - len(counts)) + counts, [1] * (len(counts) - len(shape)) + shape
    for axis, count in enumerate(counts):
        if count > 1:
            x = _repeat(b, call, x, prod(shape[:axis]), count)
            shape[axis] *= count
    return b.reshape(call, x, call.shape)


def repeat_interleave(b: Builder, call: Call) -> Value:
    """Every element ``repeats`` times in a row along an axis, or of the flat tensor."""
    call.args.shape_only("output_size")
    x, count, dim = activation(call, call.args["self"]), call.args["repeats"], call.args["dim"]
    if isinstance(count, torch.Tensor) and count.numel() == 1:
        count = int(count)
    if not isinstance(count, int):
        call.refuse("repeats must be one number")
    shape = b.shape(x)
    outer = prod(shape) if dim is None or not shape else prod(shape[: dim % len(shape) + 1])
    return b.reshape(call, _repeat(b, call, x, outer, count), call.shape)


def copy(b: Builder, call: Call) -> Value:
    """The values of ``src``, broadcast to the shape of what they are copied into."""
    call.args.shape_only("self")
    source = call.args["src"]
    if isinstance(source, str):
        return expand_to(b, call, source, call.shape)
    return source.to(torch.float32).expand(call.shape)


def fill(b: Builder, call: Call) -> Value:
    """One value everywhere: a number, or an activation of one element."""
    call.args.shape_only("self")
    value = call.args["value"]
    if isinstance(value, str):
        return expand_to(b, call, value, call.shape)
    return torch.full(call.shape, b.number(call, "the value", value))


def filled(value: float | None) -> Callable[[Builder, Call], Value]:
    """A constant of the result's shape, whatever the values of the operand."""

    def handle(b: Builder, call: Call) -> Value:
        call.args.shape_only("self", "size")
        return torch.full(call.shape, b.number(call, "the value", call.args["fill_value"] if value is None else value))

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
    *lead, c, h, w = b.shape(call.args["self"])
    return _split_permute(b, call, [prod(lead), c // r**2, r, r, h, w], [0, 1, 4, 2, 5, 3])


def pixel_unshuffle(b: Builder, call: Call) -> Value:
    """(N, C, H r, W r) -> (N, C r^2, H, W)."""
    r = call.args["downscale_factor"]
    *lead, c, h, w = b.shape(call.args["self"])
    return _split_permute(b, call, [prod(lead), c, h // r, r, w // r, r], [0, 1, 3, 5, 2, 4])
