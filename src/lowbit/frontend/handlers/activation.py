"""Clamps and pointwise functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.composed import composed
from lowbit.frontend.handlers.operands import activation

__all__ = ["clamp", "elu", "gelu", "prelu", "softmax", "unary"]

Bounds = Callable[[Call], tuple[Any, Any]]


def clamp(bounds: Bounds) -> Callable[[Builder, Call], Value]:
    """min(max(x, lo), hi); ``bounds`` reads (lo, hi) off the call, None = unbounded.  Those of several numbers are operands."""

    def handle(b: Builder, call: Call) -> Value:
        if any(isinstance(bound, str) or (isinstance(bound, torch.Tensor) and bound.numel() != 1) for bound in bounds(call)):
            result: Value = composed(_between)(b, call)
            return result
        x = activation(call, call.args["self"])
        lo, hi = (_bound(b, call, bound, open_end) for bound, open_end in zip(bounds(call), (-math.inf, math.inf), strict=True))
        if lo is not None and hi is not None:
            lo = min(lo, hi)  # torch: hi wins
        return b.reshape(call, b.emit(call, "clamp", [x], b.shape(x), lo=lo, hi=hi), call.shape)

    return handle


def _between(self: torch.Tensor, **bounds: torch.Tensor | None) -> torch.Tensor:
    lo, hi = bounds.get("min"), bounds.get("max")
    above = self if lo is None else torch.maximum(self, lo)
    return above if hi is None else torch.minimum(above, hi)


def _bound(b: Builder, call: Call, bound: Any, open_end: float) -> float | None:
    return None if bound is None or float(bound) == open_end else b.number(call, "a bound", bound)


def unary(fn: str, **parameters: str) -> Callable[[Builder, Call], Value]:
    """y = fn(x), a row of the table of pointwise functions; ``parameters``: attribute -> argument."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        attrs = {attr: b.number(call, argument, call.args[argument]) for attr, argument in parameters.items()}
        return b.emit(call, "unary", [x], b.shape(x), fn=fn, **attrs)

    return handle


def gelu(b: Builder, call: Call) -> Value:
    """x * Phi(x), exactly or by the tanh formula."""
    return unary("gelu_tanh" if call.args["approximate"] == "tanh" else "gelu")(b, call)


def elu(b: Builder, call: Call) -> Value:
    """x for x > 0, else alpha * (exp(x) - 1)."""
    if (call.args["scale"], call.args["input_scale"]) != (1, 1):
        call.refuse("scale and input_scale must be 1")
    return unary("elu", alpha="alpha")(b, call)


def prelu(b: Builder, call: Call) -> Value:
    """y = max(x, 0) + slope[c] * min(x, 0); with one slope this is leaky_relu."""
    x, slope = activation(call, call.args["self"]), call.args["weight"]
    if not isinstance(slope, torch.Tensor):
        call.refuse("the slope must be a constant")
    x = b.reshape(call, x, call.shape)  # a slope of more axes adds leading ones
    shape = b.shape(x)
    if slope.numel() == 1:
        return b.emit(call, "unary", [x], shape, fn="leaky_relu", alpha=b.number(call, "the slope", slope))
    slope = slope.reshape([-1 if axis == 1 else 1 for axis in range(len(shape))])
    positive = b.emit(call, "clamp", [x], shape, lo=0.0, hi=None)
    negative = b.emit(call, "clamp", [x], shape, lo=None, hi=0.0)
    return b.emit(call, "add", [positive, b.emit(call, "mul", [negative, slope], shape)], shape)


def softmax(log: bool) -> Callable[[Builder, Call], Value]:
    """y = exp(x) / sum exp(x) along one axis; ``log``: y = x - log(sum exp(x))."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        call.args.without_effect("half_to_float")
        shape, extra = b.shape(x) or (1,), {"log": True} if log else {}
        y = b.emit(call, "softmax", [b.reshape(call, x, shape)], shape, axis=call.args["dim"] % len(shape), **extra)
        return b.reshape(call, y, call.shape)

    return handle
