"""Clamps and pointwise functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["clamp", "elu", "gelu", "prelu", "softmax", "unary"]

Bounds = Callable[[Call], tuple[Any, Any]]


def clamp(bounds: Bounds) -> Callable[[Builder, Call], Value]:
    """min(max(x, lo), hi); ``bounds`` reads (lo, hi) off the call, None = unbounded."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        lo, hi = bounds(call)
        if any(isinstance(bound, (str, torch.Tensor)) for bound in (lo, hi)):
            call.refuse("the bounds must be numbers, not tensors")
        return b.emit(call, "clamp", [x], b.shape(x), lo=_number(lo), hi=_number(hi))

    return handle


def _number(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


def unary(fn: str, **parameters: str) -> Callable[[Builder, Call], Value]:
    """y = fn(x), a row of the table of pointwise functions; ``parameters``: attribute -> argument."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["self"])
        attrs = {attr: float(call.args[argument]) for attr, argument in parameters.items()}
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
    shape = b.shape(x)
    if slope.numel() == 1:
        return b.emit(call, "unary", [x], shape, fn="leaky_relu", alpha=float(slope))
    slope = slope.reshape([-1 if axis == 1 else 1 for axis in range(len(shape))])
    positive = b.emit(call, "clamp", [x], shape, lo=0.0, hi=None)
    negative = b.emit(call, "clamp", [x], shape, lo=None, hi=0.0)
    return b.emit(call, "add", [positive, b.emit(call, "mul", [negative, slope], shape)], shape)


def softmax(b: Builder, call: Call) -> Value:
    """y = exp(x) / sum exp(x) along one axis."""
    x = activation(call, call.args["self"])
    return b.emit(call, "softmax", [x], b.shape(x), axis=call.args["dim"] % len(b.shape(x)))
