"""Larger and smaller of two tensors, extremes along axes, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation, constant
from lowbit.frontend.handlers.pooling import reduce
from lowbit.frontend.handlers.shape import expand_to

__all__ = ["argument", "both", "extreme", "larger_or_smaller", "top"]

_LOWEST = {"maximum": "max_pool2d", "minimum": "min_pool2d"}


def larger_or_smaller(b: Builder, call: Call, op: str, x: Value, y: Value) -> Value:
    """``op`` "maximum" or "minimum" of two operands that broadcast; with one number it is a clamp."""
    if not isinstance(x, str):
        x, y = y, x
    x = activation(call, x)
    if isinstance(y, str) or constant(y).numel() != 1:
        return b.emit(call, op, [x, y if isinstance(y, str) else constant(y)], call.shape)
    bound = b.number(call, "the bound", constant(y))
    lo, hi = (bound, None) if op == "maximum" else (None, bound)
    return expand_to(b, call, b.emit(call, "clamp", [x], b.shape(x), lo=lo, hi=hi), call.shape)


def position(b: Builder, call: Call, x: str, axis: int | None, least: bool, shape: tuple[int, ...]) -> str:
    """The first position of the largest or smallest value along an axis (None: in the flat tensor), as ``shape``."""
    given = b.shape(x)
    if axis is None or not given:
        x, axis = b.reshape(call, x, (prod(given),)), 0
    given = b.shape(x)
    axis %= len(given)
    found = b.emit(call, "argmax", [x], (*given[:axis], *given[axis + 1 :]), axis=axis, least=least)
    return b.reshape(call, found, shape)


def extreme(op: str) -> Callable[[Builder, Call], Value | tuple[Value, ...]]:
    """``max`` and ``min`` (``op`` "maximum" or "minimum"): of two tensors, of one over all axes, or over one, with positions."""

    def handle(b: Builder, call: Call) -> Value | tuple[Value, ...]:
        if "other" in call.args:
            return larger_or_smaller(b, call, op, call.args["self"], call.args["other"])
        value = reduce(b, call, _LOWEST[op])
        if "dim" not in call.args:
            return value
        x = activation(call, call.args["self"])
        return value, position(b, call, x, call.args["dim"], op == "minimum", call.shapes[1])

    return handle


def both(b: Builder, call: Call) -> tuple[Value, ...]:
    """``aminmax``: the smallest and the largest."""
    return reduce(b, call, _LOWEST["minimum"]), reduce(b, call, _LOWEST["maximum"])


def argument(least: bool) -> Callable[[Builder, Call], Value]:
    """``argmax`` and ``argmin``: the first position, of the flat tensor without ``dim``."""

    def handle(b: Builder, call: Call) -> Value:
        call.args.shape_only("keepdim")
        return position(b, call, activation(call, call.args["self"]), call.args["dim"], least, call.shape)

    return handle


def top(b: Builder, call: Call) -> tuple[Value, ...]:
    """``topk`` with k = 1: the largest (or smallest) value along an axis and its position."""
    if call.args["k"] != 1:
        call.refuse(f"k = {call.args['k']}; supported is k = 1: return the values before it and do this outside the network")
    call.args.without_effect("sorted")
    least, x = not call.args["largest"], activation(call, call.args["self"])
    value = reduce(b, call, _LOWEST["minimum" if least else "maximum"])
    return value, position(b, call, x, call.args["dim"], least, call.shapes[1])
