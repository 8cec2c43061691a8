"""Choosing by masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.guarded import guarded
from lowbit.frontend.handlers.operands import constant
from lowbit.frontend.handlers.shape import expand_to

__all__ = ["masked_fill", "where"]


def where(b: Builder, call: Call) -> Value:
    """y = a where the mask is true, else c: mask * a + (1 - mask) * c."""
    return _chosen(b, call, call.args["condition"], call.args["self"], call.args["other"])


def masked_fill(b: Builder, call: Call) -> Value:
    """y = value where the mask is true, else x."""
    return _chosen(b, call, call.args["mask"], call.args["value"], call.args["self"])


def _chosen(b: Builder, call: Call, mask: Value, chosen: Any, other: Any) -> Value:
    if isinstance(mask, str):
        return _weighted(b, call, mask, chosen, other)
    keep = mask.to(torch.bool)
    parts = [_part(b, call, chosen, keep), _part(b, call, other, ~keep)]
    names = [part for part in parts if isinstance(part, str)]
    constants = [part for part in parts if not isinstance(part, str)]
    if len(names) == 2:
        return b.emit(call, "add", names, call.shape)
    if not names:
        return sum(constants, torch.zeros(call.shape))
    if not any(bool(constant.any()) for constant in constants):
        return expand_to(b, call, names[0], call.shape)
    return b.emit(call, "add", [names[0], constants[0]], call.shape)


def _weighted(b: Builder, call: Call, mask: str, chosen: Any, other: Any) -> Value:
    """The same for a computed condition."""
    if mask not in b.conditions:
        call.refuse("the mask must be a condition, such as x > 0")
    shape, terms = b.shape(mask), []
    against = b.emit(call, "add", [b.emit(call, "mul", [mask, constant(-1.0)], shape), constant(1.0)], shape)
    for weight, rest, side in ((mask, against, chosen), (against, mask, other)):
        value = guarded(b, call, side, _at_one(b, call, weight, rest)) if isinstance(side, str) else constant(side)
        if isinstance(value, str) or bool(value.any()):
            terms.append(b.emit(call, "mul", [weight, value], torch.broadcast_shapes(shape, b.shape(value))))
    if not terms:
        return torch.zeros(call.shape)
    return expand_to(b, call, terms[0] if len(terms) == 1 else b.emit(call, "add", terms, call.shape), call.shape)


def _at_one(b: Builder, call: Call, weight: Value, rest: Value) -> Callable[[str], str | None]:
    """x -> weight * x + rest, with ``rest`` = 1 - ``weight``; None for x that has fewer elements."""

    def at_one(x: str) -> str | None:
        shape = b.shape(x)
        if torch.broadcast_shapes(shape, b.shape(weight)) != shape:
            return None
        return b.emit(call, "add", [b.emit(call, "mul", [x, weight], shape), rest], shape)

    return at_one


def _part(b: Builder, call: Call, value: Any, keep: torch.Tensor) -> Value:
    """What is kept of one side, 0 elsewhere."""
    if not bool(keep.any()):
        return torch.zeros(keep.shape)
    if isinstance(value, str):
        shape = torch.broadcast_shapes(b.shape(value), tuple(keep.shape))
        if bool(keep.all()) and shape == b.shape(value):
            return value
        value = guarded(b, call, value, _at_one(b, call, keep.float(), (~keep).float()))
        return b.emit(call, "mul", [value, keep.float()], shape)
    number = torch.as_tensor(value, dtype=torch.float32)
    if number.numel() == 1 and number != -torch.inf:  # hides scores: passes/bound_masks.py
        b.number(call, "the value", number)
    return torch.where(keep, number, 0.0)
