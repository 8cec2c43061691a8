"""add, sub, mul, div and their relatives; one operand may be a number or a constant tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.concat import join
from lowbit.frontend.handlers.operands import activation, constant
from lowbit.frontend.handlers.shape import expand_to
from lowbit.frontend.handlers.slicing import part

__all__ = ["add", "add_product", "div", "mul", "neg", "power", "rsub", "sub"]


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


def add_product(divide: bool) -> Callable[[Builder, Call], Value]:
    """x + value * y * z (``addcmul``), or x + value * y / z (``addcdiv``)."""

    def handle(b: Builder, call: Call) -> Value:
        x, y, z = (call.args[name] for name in ("self", "tensor1", "tensor2"))
        if divide and isinstance(z, str):
            z = b.emit(call, "unary", [z], b.shape(z), fn="reciprocal")
        elif divide:
            z = _double(z).reciprocal()
        factor = _double(call.args["value"])
        for operand in (y, z):
            factor = factor if isinstance(operand, str) else factor * _double(operand)
        product: Value = factor
        for operand in (y, z):
            if isinstance(operand, str):
                shape = torch.broadcast_shapes(b.shape(operand), b.shape(product))
                trivial = isinstance(product, torch.Tensor) and product.numel() == 1 and float(product) == 1
                product = operand if trivial else b.emit(call, "mul", [operand, product], shape)
        return _combine(b, call, "add", x if isinstance(x, str) else constant(x), product)

    return handle


def _double(value: Any) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def sub(b: Builder, call: Call) -> Value:
    """x - alpha * y; a constant x gives (-y) + x."""
    x, y = call.args["self"], _second(b, call)
    if isinstance(x, str):
        return b.emit(call, "sub", [x, y], call.shape)
    return b.emit(call, "add", [_negated(b, call, activation(call, y)), x], call.shape)


def rsub(b: Builder, call: Call) -> Value:
    """y - alpha * x."""
    x, y, alpha = call.args["self"], call.args["other"], call.args["alpha"]
    if not isinstance(x, str):
        return b.emit(call, "add", [activation(call, y), constant(x) * -alpha], call.shape)
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
    """x ** p for one number p (``square``: 2), or a few along one axis, and c ** x = exp(x log c) for a positive constant c."""
    x, exponent = call.args["self"], call.args.get("exponent", 2)
    if isinstance(exponent, str):
        return _exponential(b, call, x, exponent)
    values = torch.as_tensor(exponent, dtype=torch.float64).unique()
    x = _grown(b, call, activation(call, x))
    if values.numel() == 1:
        return _to_the(b, call, x, b.number(call, "the exponent", values))
    exponents = torch.as_tensor(exponent, dtype=torch.float64)
    exponents = exponents.reshape((1,) * (len(call.shape) - exponents.dim()) + tuple(exponents.shape))
    varies = [axis for axis, size in enumerate(exponents.shape) if size > 1]
    numbers, counts = exponents.reshape(-1).unique_consecutive(return_counts=True)
    if len(varies) != 1 or len(numbers) > _PARTS:
        why = f"exponents of {values.numel()} values along axes {varies}; supported is one number, or {_PARTS} along one axis"
        call.refuse(f"{why}: for positive x write (x.log() * p).exp()")
    parts: list[Value] = []
    for p, count, end in zip(numbers, counts.tolist(), counts.cumsum(0).tolist(), strict=True):
        piece = activation(call, part(b, call, x, varies[0], end - count, count))
        parts.append(_to_the(b, call, piece, b.number(call, "the exponent", p)))
    return join(b, call, parts, varies[0])


def _to_the(b: Builder, call: Call, x: str, p: float) -> Value:
    shape = b.shape(x)
    if p == 0:
        return torch.ones(shape)
    if p == 1:
        return x
    if p == 2:
        return b.emit(call, "mul", [x, x], shape)
    if p in _ROOTS:
        return b.emit(call, "unary", [x], shape, fn=_ROOTS[p])
    if abs(p) >= _LARGEST:
        call.refuse(f"exponent {p}; it must be below {_LARGEST}")
    return b.emit(call, "unary", [x], shape, fn="pow", exponent=p)


_LARGEST = 1 << 20
_PARTS = 64  # of an axis with exponents of its own
_ROOTS = {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}


def _grown(b: Builder, call: Call, x: str) -> str:
    """``x`` broadcast to the result's shape, which a tensor exponent may have grown."""
    return expand_to(b, call, x, call.shape)


def _exponential(b: Builder, call: Call, base: Any, exponent: str) -> str:
    if isinstance(base, str):
        call.refuse("both operands are computed from the network's input; one must be a constant")
    constants = torch.as_tensor(base, dtype=torch.float64)
    if not bool((constants > 0).all()):
        call.refuse("the base must be positive")
    scaled = b.emit(call, "mul", [exponent, constants.log()], call.shape)
    return b.emit(call, "unary", [scaled], call.shape, fn="exp")
