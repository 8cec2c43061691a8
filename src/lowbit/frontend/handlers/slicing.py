"""Parts of a tensor: slices, selection, splitting, and padding with a constant."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["narrow", "pad", "select", "slice_axis", "split", "unbind"]


def _slice(b: Builder, call: Call, x: str, axis: int, start: int, size: int, step: int = 1) -> str:
    """x[..., start : start + size*step : step, ...]."""
    shape = list(b.shape(x))
    if size == shape[axis]:
        return x
    starts, steps = [0] * len(shape), [1] * len(shape)
    starts[axis], steps[axis], shape[axis] = start, step, size
    return b.emit(call, "slice", [x], shape, starts=tuple(starts), steps=tuple(steps))


def slice_axis(b: Builder, call: Call) -> Value:
    """x[start:end:step] along one axis."""
    x = activation(call, call.args["self"])
    axis = call.args["dim"] % len(b.shape(x))
    start, stop, step = slice(call.args["start"], call.args["end"], call.args["step"]).indices(b.shape(x)[axis])
    return _slice(b, call, x, axis, start, len(range(start, stop, step)), step)


def narrow(b: Builder, call: Call) -> Value:
    """``length`` elements from ``start`` along one axis."""
    x, start = activation(call, call.args["self"]), call.args["start"]
    if not isinstance(start, int):
        call.refuse("the start must be a number")
    axis = call.args["dim"] % len(b.shape(x))
    return _slice(b, call, x, axis, start % b.shape(x)[axis], call.args["length"])


def _take(b: Builder, call: Call, x: str, axis: int, index: int, shape: Sequence[int]) -> str:
    part = _slice(b, call, x, axis, index % b.shape(x)[axis], 1)
    return b.reshape(call, part, shape)


def select(b: Builder, call: Call) -> Value:
    """x[index] along one axis, which disappears."""
    x = activation(call, call.args["self"])
    return _take(b, call, x, call.args["dim"] % len(b.shape(x)), call.args["index"], call.shape)


def unbind(b: Builder, call: Call) -> tuple[Value, ...]:
    """Every x[k] along one axis."""
    x = activation(call, call.args["self"])
    axis = call.args["dim"] % len(b.shape(x))
    return tuple(_take(b, call, x, axis, index, shape) for index, shape in enumerate(call.shapes))


def split(b: Builder, call: Call) -> tuple[Value, ...]:
    """``split``, ``chunk``, ``tensor_split``: consecutive parts, of the sizes torch gave them."""
    x = activation(call, call.args["self"])
    axis, start, parts = call.args["dim"] % len(b.shape(x)), 0, []
    for shape in call.shapes:
        parts.append(_slice(b, call, x, axis, start, shape[axis]))
        start += shape[axis]
    return tuple(parts)


def pad(b: Builder, call: Call) -> Value:
    """Constant padding, last axis first in ``pad``; negative amounts cut."""
    x = activation(call, call.args["self"])
    if call.args.get("mode", "constant") != "constant":
        call.refuse(f"padding mode {call.args['mode']!r}; only 'constant' is supported (padding_mode='zeros')")
    rank, amounts = len(b.shape(x)), list(call.args["pad"])
    before, after = [0] * rank, [0] * rank
    for index in range(len(amounts) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = amounts[2 * index], amounts[2 * index + 1]
    for axis in range(rank):
        cut = max(-before[axis], 0), max(-after[axis], 0)
        x = _slice(b, call, x, axis, cut[0], b.shape(x)[axis] - sum(cut))
    grow = [[max(amount, 0) for amount in side] for side in (before, after)]
    if not any(map(sum, grow)):
        return x
    value = float(call.args.get("value") or 0.0)
    return b.emit(call, "pad", [x], call.shape, before=tuple(grow[0]), after=tuple(grow[1]), value=value)
