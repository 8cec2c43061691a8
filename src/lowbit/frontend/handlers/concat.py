"""Joining tensors."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value

__all__ = ["cat", "join", "stack"]


def join(b: Builder, call: Call, values: list[Value], axis: int) -> Value:
    """Concatenation along one axis; constants of one value are padding of the activation beside them, others are added to it."""
    values = [value for value in values if 0 not in b.shape(value)] or values[:1]
    if not any(isinstance(value, str) for value in values):
        return torch.cat([value for value in values if isinstance(value, torch.Tensor)], axis)
    padded: list[str] = []
    leading: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, str):
            for constant in reversed(leading):
                value = _padded(b, call, value, constant, axis, "before")
            leading = []
            padded.append(value)
        elif padded:
            padded[-1] = _padded(b, call, padded[-1], value, axis, "after")
        else:
            leading.append(value)
    if len(padded) == 1:
        return padded[0]
    shape = list(b.shape(padded[0]))
    shape[axis] = sum(b.shape(value)[axis] for value in padded)
    return b.emit(call, "concat", padded, shape, axis=axis)


def _padded(b: Builder, call: Call, x: str, constant: torch.Tensor, axis: int, side: str) -> str:
    fill = constant.reshape(-1)[0]
    varies = not bool((constant == fill).all())
    fill = torch.zeros(()) if varies else fill
    shape, amount = list(b.shape(x)), [0] * constant.dim()
    amount[axis] = constant.shape[axis]
    shape[axis] += constant.shape[axis]
    sides = {"before": (0,) * constant.dim(), "after": (0,) * constant.dim(), side: tuple(amount)}
    padded = b.emit(call, "pad", [x], shape, value=b.number(call, "the constant", fill), **sides)
    if not varies:
        return padded
    if constant.shape[0] > 1 and axis and bool((constant == constant[:1]).all()):
        constant = constant[:1]  # every row the same
    zeros = torch.zeros([*constant.shape[:axis], b.shape(x)[axis], *constant.shape[axis + 1 :]], dtype=constant.dtype)
    parts = [constant, zeros] if side == "before" else [zeros, constant]
    return b.emit(call, "add", [padded, torch.cat(parts, axis)], shape)


def cat(b: Builder, call: Call) -> Value:
    """Values one after another along an existing axis."""
    return join(b, call, list(call.args["tensors"]), call.args["dim"] % len(call.shape))


def stack(b: Builder, call: Call) -> Value:
    """Values one after another along a new axis."""
    axis = call.args["dim"] % len(call.shape)
    values: list[Value] = []
    for value in call.args["tensors"]:
        shape = list(b.shape(value))
        shape.insert(axis, 1)
        values.append(b.reshape(call, value, shape) if isinstance(value, str) else value.reshape(shape))
    return join(b, call, values, axis)
