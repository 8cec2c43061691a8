"""Joining tensors."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value

__all__ = ["cat", "stack"]


def _join(b: Builder, call: Call, values: list[Value], axis: int) -> str:
    """Concatenation along one axis; leading and trailing constants of one value are padding."""
    values = [value for value in values if 0 not in b.shape(value)]
    first = next(index for index, value in enumerate(values) if isinstance(value, str))
    last = next(index for index in reversed(range(len(values))) if isinstance(values[index], str))
    inner = values[first : last + 1]
    if not all(isinstance(value, str) for value in inner):
        call.refuse("a constant between the joined activations is not supported; put it first or last, or make it an input")
    shape = list(b.shape(inner[0]))
    shape[axis] = sum(b.shape(value)[axis] for value in inner)
    x = inner[0] if len(inner) == 1 else b.emit(call, "concat", inner, shape, axis=axis)
    for side, constants in (("before", values[:first]), ("after", values[last + 1 :])):
        for constant in reversed(constants) if side == "before" else constants:
            x = _padded(b, call, x, constant, axis, side)
    return x


def _padded(b: Builder, call: Call, x: str, constant: torch.Tensor, axis: int, side: str) -> str:
    fill = constant.reshape(-1)[0]
    if not bool((constant == fill).all()):
        call.refuse(
            "joining an activation with a constant is supported only where the constant holds one value; "
            "make it an input of the network"
        )
    shape, amount = list(b.shape(x)), [0] * constant.dim()
    amount[axis] = constant.shape[axis]
    shape[axis] += constant.shape[axis]
    sides = {"before": (0,) * constant.dim(), "after": (0,) * constant.dim(), side: tuple(amount)}
    return b.emit(call, "pad", [x], shape, value=float(fill), **sides)


def cat(b: Builder, call: Call) -> Value:
    """Values one after another along an existing axis."""
    return _join(b, call, list(call.args["tensors"]), call.args["dim"] % len(call.shape))


def stack(b: Builder, call: Call) -> Value:
    """Values one after another along a new axis."""
    axis = call.args["dim"] % len(call.shape)
    values: list[Value] = []
    for value in call.args["tensors"]:
        shape = list(b.shape(value))
        shape.insert(axis, 1)
        values.append(b.reshape(call, value, shape) if isinstance(value, str) else value.reshape(shape))
    return _join(b, call, values, axis)
