"""Matrix products with constant weights -> linear."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["addmm", "linear", "matmul"]


def _linear(b: Builder, call: Call, x: Value, weight: Value, bias: Value | None) -> str:
    x = activation(call, x)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        call.refuse("the second factor must be a constant matrix (products of two activations are not supported)")
    if isinstance(bias, str) or (bias is not None and bias.dim() != 1):
        call.refuse("the bias must be a constant vector")
    if len(b.shape(x)) < 2:
        call.refuse(f"the input has shape {b.shape(x)}; give it a batch axis")
    inputs: list[Value] = [x, weight] if bias is None else [x, weight, bias]
    return b.emit(call, "linear", inputs, call.shape)


def linear(b: Builder, call: Call) -> Value:
    """y = x W^T + bias over the last axis; W is (out, in)."""
    return _linear(b, call, call.args["input"], call.args["weight"], call.args["bias"])


def matmul(b: Builder, call: Call) -> Value:
    """y = x W with a constant W of shape (in, out)."""
    weight = call.args["mat2"] if "mat2" in call.args else call.args["other"]
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        weight = weight.T.contiguous()
    return _linear(b, call, call.args["self"], weight, None)


def addmm(b: Builder, call: Call) -> Value:
    """y = beta * bias + alpha * x W."""
    bias, weight = call.args["self"], call.args["mat2"]
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        weight = weight.T.contiguous() if call.args["alpha"] == 1 else weight.T * call.args["alpha"]
    if isinstance(bias, torch.Tensor) and call.args["beta"] != 1:
        bias = bias * call.args["beta"]
    return _linear(b, call, call.args["mat1"], weight, bias)
