"""Parts of a tensor: slices, selection, splitting, and padding with a constant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation
from lowbit.frontend.handlers.selection import border

__all__ = ["narrow", "pad", "part", "select", "slice_axis", "split", "unbind"]


def part(b: Builder, call: Call, x: Value, axis: int, start: int, size: int, step: int = 1) -> Value:
    """x[..., start : start + size*step : step, ...]; a part without elements is a constant."""
    shape = list(b.shape(x))
    if size == shape[axis]:
        return x
    if not isinstance(x, str):
        return x[(slice(None),) * axis + (slice(start, start + (size - 1) * step + 1 if size else start, step),)]
    starts, steps = [0] * len(shape), [1] * len(shape)
    starts[axis], steps[axis], shape[axis] = start, step, size
    if 0 in shape:
        return torch.zeros(shape)
    return b.emit(call, "slice", [x], shape, starts=tuple(starts), steps=tuple(steps))


def slice_axis(b: Builder, call: Call) -> Value:
    """x[start:end:step] along one axis."""
    x = activation(call, call.args["self"])
    axis = call.args["dim"] % len(b.shape(x))
    start, stop, step = slice(call.args["start"], call.args["end"], call.args["step"]).indices(b.shape(x)[axis])
    return part(b, call, x, axis, start, len(range(start, stop, step)), step)


def narrow(b: Builder, call: Call) -> Value:
    """``length`` elements from ``start`` along one axis."""
    x, start = activation(call, call.args["self"]), call.args["start"]
    if isinstance(start, str):
        call.refuse("the start must be a number")
    start = int(start)
    axis = call.args["dim"] % len(b.shape(x))
    return part(b, call, x, axis, start + b.shape(x)[axis] if start < 0 else start, call.args["length"])


def _take(b: Builder, call: Call, x: str, axis: int, index: int, shape: Sequence[int]) -> Value:
    row = part(b, call, x, axis, index % b.shape(x)[axis], 1)
    return b.reshape(call, row, shape) if isinstance(row, str) else row.reshape(tuple(shape))


def select(b: Builder, call: Call) -> Value:
    """x[index] along one axis, which disappears."""
    x, index = activation(call, call.args["self"]), call.args["index"]
    if isinstance(index, str):
        call.refuse("the index must be a number")
    return _take(b, call, x, call.args["dim"] % len(b.shape(x)), int(index), call.shape)


def unbind(b: Builder, call: Call) -> tuple[Value, ...]:
    """Every x[k] along one axis."""
    x = activation(call, call.args["self"])
    axis = call.args["dim"] % len(b.shape(x))
    return tuple(_take(b, call, x, axis, index, shape) for index, shape in enumerate(call.shapes))


def split(b: Builder, call: Call) -> tuple[Value, ...]:
    """``split``, ``chunk``, ``tensor_split``: parts of the sizes torch gave them, consecutive unless ``indices`` say else."""
    x = activation(call, call.args["self"])
    axis, start, parts = call.args["dim"] % len(b.shape(x)), 0, []
    call.args.shape_only("chunks", "sections", "split_size", "split_sizes")
    given = call.args.get("indices", call.args.get("tensor_indices_or_sections"))
    if isinstance(given, torch.Tensor):
        given = given.tolist()
    indices = given if isinstance(given, (list, tuple)) else None
    for number, shape in enumerate(call.shapes):
        if indices is not None and number:
            start = slice(indices[number - 1], None).indices(b.shape(x)[axis])[0]
        parts.append(part(b, call, x, axis, start, shape[axis]))
        start += shape[axis]
    return tuple(parts)


def pad(b: Builder, call: Call) -> Value:
    """Padding, last axis first in ``pad``, with a constant or what other modes repeat; negative amounts cut.  An infinite
    constant is a pool's, which takes it in (passes/pad_into_pool.py)."""
    x = activation(call, call.args["self"])
    if call.args.get("mode", "constant") != "constant":
        return border(None)(b, call)
    rank, amounts = len(b.shape(x)), list(call.args["pad"])
    before, after = [0] * rank, [0] * rank
    for index in range(len(amounts) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = amounts[2 * index], amounts[2 * index + 1]
    value = float(call.args.get("value") or 0.0)
    value = value if math.isinf(value) else b.number(call, "the value", value)
    cuts = [(max(-lead, 0), max(-trail, 0)) for lead, trail in zip(before, after, strict=True)]
    if any(sum(cut) >= size for cut, size in zip(cuts, b.shape(x), strict=True)):
        return torch.full(call.shape, b.number(call, "the value", value))  # nothing of x is left
    for axis, cut in enumerate(cuts):
        x = activation(call, part(b, call, x, axis, cut[0], b.shape(x)[axis] - sum(cut)))
    grow = [[max(amount, 0) for amount in side] for side in (before, after)]
    if not any(map(sum, grow)):
        return x
    return b.emit(call, "pad", [x], call.shape, before=tuple(grow[0]), after=tuple(grow[1]), value=value)
