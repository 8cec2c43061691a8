"""add, sub, mul, div and their relatives; one operand may be a number or a constant tensor."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation, constant

__all__ = ["add", "div", "mul", "neg", "power", "rsub", "sub"]


def _combine(b: Builder, call: Call, op: str, x: Value, y: Value) -> str:
    """``op`` of two operands, the activation first."""
    if not isinstance(x, str):
        x, y = y, x
    return b.emit(call, op, [x, y], call.shape)


def _second(b: Builder, call: Call) -> Value:
    """``other``, times ``alpha`` where the operator has one."""
    other, alpha = call.args["other"], call.args.get("alpha", 1)
    if not isinstance(other, str):
        return constant(other) if alpha == 1 else constant(other) * alpha
    return other if alpha == 1 else b.emit(call, "mul", [other, constant(alpha)], b.shape(other))


def _negated(b: Builder, call: Call, value: str) -> str:
    return b.emit(call, "mul", [value, constant(-1.0)], b.shape(value))


def add(b: Builder, call: Call) -> Value:
    """x + alpha * y."""
    return _combine(b, call, "add", call.args["self"], _second(b, call))


def sub(b: Builder, call: Call) -> Value:
    """x - alpha * y; a constant x gives (-y) + x."""
    x, y = call.args["self"], _second(b, call)
    if isinstance(x, str):
        return b.emit(call, "sub", [x, y], call.shape)
    return b.emit(call, "add", [_negated(b, call, activation(call, y)), x], call.shape)


def rsub(b: Builder, call: Call) -> Value:
    """y - alpha * x."""
    x, y, alpha = call.args["self"], call.args["other"], call.args["alpha"]
    scaled = x if alpha == 1 else b.emit(call, "mul", [x, constant(alpha)], b.shape(x))
    if isinstance(y, str):
        return b.emit(call, "sub", [y, scaled], call.shape)
    return b.emit(call, "add", [_negated(b, call, scaled), constant(y)], call.shape)


def mul(b: Builder, call: Call) -> Value:
    """x * y."""
    return _combine(b, call, "mul", call.args["self"], _second(b, call))


def div(b: Builder, call: Call) -> Value:
    """x / y as x * (1 / y); for a constant y the reciprocal is rounded once to float32."""
    x, divisor = call.args["self"], call.args["other"]
    if call.args.get("rounding_mode"):
        call.refuse("division that rounds is not supported")
    if isinstance(divisor, str):
        divisor = b.emit(call, "unary", [divisor], b.shape(divisor), fn="reciprocal")
        return _combine(b, call, "mul", x, divisor)
    reciprocal = torch.as_tensor(divisor, dtype=torch.float64).reciprocal()
    return b.emit(call, "mul", [activation(call, x), reciprocal], call.shape)


def neg(b: Builder, call: Call) -> Value:
    """-x."""
    return _negated(b, call, activation(call, call.args["self"]))


def power(b: Builder, call: Call) -> Value:
    """x * x (``square``, or ``pow`` with exponent 2); exponent 1 is x, 0.5 the square root."""
    x, exponent = activation(call, call.args["self"]), call.args.get("exponent", 2)
    if exponent not in (0.5, 1, 2):
        call.refuse(f"exponent {exponent}; supported are 0.5, 1 and 2")
    if exponent == 1:
        return x
    if exponent == 2:
        return b.emit(call, "mul", [x, x], call.shape)
    return b.emit(call, "unary", [x], call.shape, fn="sqrt")
