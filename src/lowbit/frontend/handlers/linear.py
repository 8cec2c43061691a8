"""Matrix products with constant weights -> linear."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation, constant

__all__ = ["addmm", "constant_product", "linear"]


def _linear(b: Builder, call: Call, x: Value, weight: Value, bias: Value | None) -> str:
    """x W^T + bias, W (out, in) or, for one result that has no axis, (in,)."""
    x = activation(call, x)
    if not isinstance(weight, torch.Tensor) or weight.dim() > 2:
        call.refuse("the second factor must be a constant matrix; for a product of two activations write torch.matmul")
    weight = weight if weight.dim() == 2 else weight.unsqueeze(0)
    features = b.shape(x)[-1]
    x = x if len(b.shape(x)) >= 2 else b.reshape(call, x, (1, features))
    inputs: list[Value] = [x, weight]
    vector = _vector(bias, len(weight))
    if vector is not None:
        inputs.append(vector)
    y = b.reshape(call, b.emit(call, "linear", inputs, (*b.shape(x)[:-1], len(weight))), call.shape)
    return y if bias is None or vector is not None else b.emit(call, "add", [y, bias], call.shape)


def _vector(bias: Value | None, features: int) -> torch.Tensor | None:
    """``bias`` as one number per output, if it is constant along all other axes."""
    if not isinstance(bias, torch.Tensor) or any(size != 1 for size in bias.shape[:-1]):
        return None
    return bias if bias.dim() == 1 and len(bias) == features else bias.reshape(-1).expand(features)


def linear(b: Builder, call: Call) -> Value:
    """y = x W^T + bias over the last axis; W is (out, in)."""
    return _linear(b, call, call.args["input"], call.args["weight"], call.args["bias"])


def constant_product(b: Builder, call: Call, x: str, weight: torch.Tensor) -> Value:
    """y = x W with a constant W of shape (in, out), or (in,)."""
    return _linear(b, call, x, weight.T.contiguous() if weight.dim() == 2 else weight, None)


def addmm(b: Builder, call: Call) -> Value:
    """y = beta * bias + alpha * x W; with beta 0 the bias is not looked at."""
    bias, weight, alpha, beta = (call.args[name] for name in ("self", "mat2", "alpha", "beta"))
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        weight = weight.T.contiguous() if alpha == 1 else weight.T.double() * alpha
    if beta == 0:
        bias = None
    elif beta != 1:
        bias = b.emit(call, "mul", [bias, constant(beta)], b.shape(bias)) if isinstance(bias, str) else bias.double() * beta
    return _linear(b, call, call.args["mat1"], weight, bias)
