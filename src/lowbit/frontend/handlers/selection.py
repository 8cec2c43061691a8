"""Elements read at constant positions, axis by axis: nearest upsampling, mirrored borders, flips, rolls, lists of indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["border", "flip", "index", "index_select", "nearest", "positions_of", "quarter_turns", "roll", "take", "windows"]


def take(b: Builder, call: Call, x: str, chosen: Mapping[int, Sequence[int]]) -> str:
    """y[..., k, ...] = x[..., chosen[axis][k], ...] for every axis in ``chosen``."""
    shape = b.shape(x)
    lists = {axis: tuple(int(k) for k in list_) for axis, list_ in chosen.items()}
    kept = {axis: list_ for axis, list_ in lists.items() if list_ != tuple(range(shape[axis]))}
    if not kept:
        return x
    indices = tuple(kept.get(axis) for axis in range(len(shape)))
    out = [size if list_ is None else len(list_) for size, list_ in zip(shape, indices, strict=True)]
    return b.emit(call, "take", [x], out, indices=indices)


def positions_of(function: Callable[[torch.Tensor], torch.Tensor], size: int) -> list[int]:
    """What ``function``, which selects along the last axis of a (1, 1, size) tensor, reads: torch itself says so."""
    return [int(k) for k in function(torch.arange(size, dtype=torch.float32).reshape(1, 1, size)).reshape(-1)]


def flip(*named: int) -> Callable[[Builder, Call], Value]:
    """Axes read backwards: those of ``named``, else of the argument ``dims``."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        shape = b.shape(x)
        dims = {dim % len(shape) for dim in named or call.args["dims"]} if shape else set()
        return take(b, call, x, {dim: range(shape[dim])[::-1] for dim in dims})

    return handle


def quarter_turns(b: Builder, call: Call) -> Value:
    """``rot90``: k times from the first of two axes towards the second."""
    x = activation(call, call.args["self"])
    rank, turns = len(b.shape(x)), call.args["k"] % 4
    first, second = (dim % rank for dim in call.args["dims"])
    if turns % 2:
        order = list(range(rank))
        order[first], order[second] = second, first
        x = b.permute(call, x, order)
    backwards = {0: (), 1: (first,), 2: (first, second), 3: (second,)}[turns]
    return take(b, call, x, {dim: range(b.shape(x)[dim])[::-1] for dim in backwards})


def roll(b: Builder, call: Call) -> Value:
    """y[k] = x[(k - shift) mod size] along each axis of ``dims``; without ``dims`` of the flat tensor."""
    x = activation(call, call.args["self"])
    shape, shifts, dims = b.shape(x), list(call.args["shifts"]), list(call.args["dims"])
    if not dims:
        flat = b.reshape(call, x, (prod(shape),))
        rolled = take(b, call, flat, {0: [(k - shifts[0]) % prod(shape) for k in range(prod(shape))]})
        return b.reshape(call, rolled, shape)
    for shift, dim in zip(shifts, dims, strict=True):  # an axis may be named twice
        size = shape[dim]
        x = take(b, call, x, {dim % len(shape): [(k - shift) % size for k in range(size)]})
    return x


def index_select(b: Builder, call: Call) -> Value:
    """y[..., k, ...] = x[..., index[k], ...] along ``dim``."""
    x = activation(call, call.args["self"])
    chosen = _constant(call, call.args["index"]).reshape(-1).tolist()
    shape = b.shape(x)
    return take(b, call, x, {call.args["dim"] % len(shape): chosen}) if shape else x


def windows(b: Builder, call: Call) -> Value:
    """``Tensor.unfold``: y[..., k, ..., j] = x[..., k * step + j, ...] along ``dimension``, j < size a new last axis."""
    x, size, step = activation(call, call.args["self"]), int(call.args["size"]), int(call.args["step"])
    shape = b.shape(x)
    if not shape:
        call.refuse("windows of a number; it needs an axis")
    dim = call.args["dimension"] % len(shape)
    count = (shape[dim] - size) // step + 1
    x = take(b, call, x, {dim: [k * step + j for k in range(count) for j in range(size)]})
    x = b.reshape(call, x, (*shape[:dim], count, size, *shape[dim + 1 :]))
    order = [axis for axis in range(len(shape) + 1) if axis != dim + 1]
    return b.permute(call, x, (*order, dim + 1))


def _constant(call: Call, positions: Any) -> torch.Tensor:
    if not isinstance(positions, torch.Tensor) or positions.dtype in (torch.bool, torch.uint8):
        call.refuse("the positions must be constant whole numbers, neither computed from the input nor a mask")
    return positions


def index(b: Builder, call: Call) -> Value:
    """x[i, j, ...] with lists of positions (None: a whole axis), by torch's rules: the lists broadcast, and their axes stand
    where the indexed axes stood, or first where these were not neighbours.  The shape of x[mask] depends on the mask's values,
    which tracing does not know."""
    x = activation(call, call.args["self"])
    lists = {axis: _constant(call, given) for axis, given in enumerate(call.args["indices"]) if given is not None}
    axes = list(lists)
    if not axes:
        return x
    shape = b.shape(x)
    lead = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    others = [axis for axis in range(len(shape)) if axis not in axes]
    x = b.permute(call, x, [*others[:lead], *axes, *others[lead:]])
    flat = torch.zeros((), dtype=torch.int64)
    for axis in axes:
        flat = flat * shape[axis] + lists[axis].to(torch.int64) % shape[axis]
    before, after = [shape[axis] for axis in others[:lead]], [shape[axis] for axis in others[lead:]]
    x = b.reshape(call, x, (*before, prod(shape[axis] for axis in axes), *after))
    return b.reshape(call, take(b, call, x, {lead: flat.reshape(-1).tolist()}), call.shape)


def border(mode: str | None) -> Callable[[Builder, Call], Value]:
    """Padding that repeats what is there: ``reflect``, ``replicate`` or ``circular`` (None: as the argument ``mode`` says).

    ``pad`` holds (before, after) of the last axis, then of the one before it; negative amounts cut."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        amounts = list(call.args["padding"] if "padding" in call.args else call.args["pad"])
        rank, kind = len(b.shape(x)), mode or call.args["mode"]
        call.args.without_effect("value")
        chosen = {}
        for number in range(len(amounts) // 2):
            axis, sides = rank - 1 - number, amounts[2 * number : 2 * number + 2]
            left = b.shape(x)[axis] + sum(min(side, 0) for side in sides)
            if kind == "circular" and max(sides) > left:  # torch then gives what lay in memory
                call.refuse(f"it wraps {max(sides)} elements around axis {axis}, of which {left} are left")
            pad = partial(torch.nn.functional.pad, pad=sides, mode=kind)
            chosen[axis] = positions_of(pad, b.shape(x)[axis])
        return take(b, call, x, chosen)

    return handle


_FACTORS = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}
"""Spatial axes -> the arguments that hold their factors, where ``scale_factors`` does not hold all."""


def scales_of(call: Call, together: str, names: Sequence[str]) -> list[float | None]:
    """Factor of each axis of a resize, where the user gave one: torch then computes positions with it and not with the sizes."""
    if together in call.args:
        return list(call.args[together] or [None] * len(names))
    return [call.args[name] for name in names]


def nearest(rank: int, function: Any) -> Callable[[Builder, Call], Value]:
    """Nearest neighbours; ``function``: torch's operation, (x, sizes, a factor for each axis or None), which says what it reads
    of a tensor of this very shape: where sizes are exactly doubled, it depends on how the tensor may lie in memory."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["input"] if "input" in call.args else call.args["self"])
        call.args.shape_only("output_size")
        shape, factors = b.shape(x), scales_of(call, "scale_factors", _FACTORS[rank])
        first, chosen = len(shape) - rank, {}
        for axis in range(first, len(shape)):
            places = torch.arange(shape[axis], dtype=torch.float32).reshape([-1 if d == axis else 1 for d in range(len(shape))])
            read = function(places.expand(1, min(shape[1], 2), *shape[2:]).contiguous(), list(call.shape[first:]), *factors)
            chosen[axis] = [int(k) for k in read[0, 0].movedim(axis - first, -1).reshape(-1, call.shape[axis])[0]]
        return take(b, call, x, chosen)

    return handle
