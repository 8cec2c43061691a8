"""Functions of one value, clamps and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch

from lowbit.frontend.call import Value
from lowbit.frontend.onnx.node import OnnxNode

__all__ = [
    "binary", "cast", "celu", "clip", "direct", "div", "elu", "extreme", "gelu", "hard_sigmoid", "identity", "leaky_relu",
    "log_softmax", "mean", "mul", "power", "prelu", "selu", "softmax", "softsign", "swish", "variadic", "where",
]  # fmt: skip

Row = Callable[[OnnxNode], Value]


def direct(op: str) -> Row:
    """``op`` of the one input."""
    return lambda n: n.aten(op, n.value(0))


def binary(op: str) -> Row:
    """``op`` of two inputs that broadcast."""
    return lambda n: n.aten(op, n.value(0), n.value(1))


def variadic(op: str) -> Row:
    """``op`` of the first two inputs, of that and the third, ..."""
    return lambda n: reduce(lambda x, y: n.aten(op, x, y), [n.value(index) for index in range(len(n.inputs))])


def mul(n: OnnxNode) -> Value:
    """x * y; x * sigmoid(x) is silu."""
    x, y = n.value(0), n.value(1)
    if isinstance(x, str) and isinstance(y, str):
        made = {node.name: node for node in n.builder.nodes[-8:]}
        for value, gate in ((x, y), (y, x)):
            node = made.get(gate)
            if node is not None and node.op == "unary" and node.attrs["fn"] == "sigmoid" and node.inputs == (value,):
                return n.aten("silu", value)
    return n.aten("mul.Tensor", x, y)


def extreme(op: str) -> Row:
    """Max, Min of any number of inputs."""

    def row(n: OnnxNode) -> Value:
        values = [n.value(index) for index in range(len(n.inputs))]
        values.sort(key=lambda value: isinstance(value, torch.Tensor))  # activations first: the order is free
        return reduce(lambda x, y: n.aten(op, x, y), values)

    return row


def mean(n: OnnxNode) -> Value:
    """(x + y + ...) / count."""
    return n.aten("div.Tensor", variadic("add.Tensor")(n), torch.tensor(float(len(n.inputs))))


def div(n: OnnxNode) -> Value:
    """x / y; of integers, as shapes are computed with, without the fraction."""
    x, y = n.value(0), n.value(1)
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and not x.is_floating_point():
        return torch.div(x, y, rounding_mode="trunc")
    return n.aten("div.Tensor", x, y)


def power(n: OnnxNode) -> Value:
    """x ^ y."""
    x, y = n.value(0), n.value(1)
    return n.aten("pow.Tensor_Tensor", x, y.to(torch.float32) if isinstance(y, torch.Tensor) and isinstance(x, str) else y)


def identity(n: OnnxNode) -> Value:
    """The value itself: Identity, Dropout in evaluation."""
    return n.value(0)


def cast(n: OnnxNode) -> Value:
    """To floating point: the value itself, which is float32 here.  Constants become what is asked for."""
    from lowbit.frontend.onnx.constants import torch_type

    wanted, x = torch_type(int(n.attribute("to"))), n.value(0)
    if isinstance(x, torch.Tensor):
        return x.to(wanted)
    if not wanted.is_floating_point:
        n.refuse(f"it makes {wanted} of an activation, which is float32 until lowbit quantizes it; do this outside the network")
    return x


def leaky_relu(n: OnnxNode) -> Value:
    return n.aten("leaky_relu", n.value(0), n.attribute("alpha", 0.01))


def elu(n: OnnxNode) -> Value:
    return n.aten("elu", n.value(0), n.attribute("alpha", 1.0))


_SELU_ALPHA, _SELU_GAMMA = 1.6732632423543772, 1.0507009873554805


def selu(n: OnnxNode) -> Value:
    """gamma * elu(x, alpha)."""
    alpha, gamma = n.attribute("alpha", _SELU_ALPHA), n.attribute("gamma", _SELU_GAMMA)
    if math.isclose(alpha, _SELU_ALPHA, rel_tol=1e-6) and math.isclose(gamma, _SELU_GAMMA, rel_tol=1e-6):
        return n.aten("selu", n.value(0))
    return n.aten("mul.Tensor", n.aten("elu", n.value(0), alpha), torch.tensor(gamma))


def celu(n: OnnxNode) -> Value:
    """alpha * elu(x / alpha)."""
    alpha = n.attribute("alpha", 1.0)
    inner = n.aten("elu", n.aten("mul.Tensor", n.value(0), torch.tensor(1.0 / alpha)))
    return n.aten("mul.Tensor", inner, torch.tensor(alpha))


def hard_sigmoid(n: OnnxNode) -> Value:
    """max(0, min(1, alpha * x + beta))."""
    alpha, beta = n.attribute("alpha", 0.2), n.attribute("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return n.aten("hardsigmoid", n.value(0))
    line = n.aten("add.Tensor", n.aten("mul.Tensor", n.value(0), torch.tensor(alpha)), torch.tensor(beta))
    return n.aten("clamp", line, 0.0, 1.0)


def swish(n: OnnxNode) -> Value:
    """x * sigmoid(alpha * x)."""
    x, alpha = n.value(0), n.attribute("alpha", 1.0)
    if alpha == 1.0:
        return n.aten("silu", x)
    return n.aten("mul.Tensor", x, n.aten("sigmoid", n.aten("mul.Tensor", x, torch.tensor(alpha))))


def gelu(n: OnnxNode) -> Value:
    approximate = n.attribute("approximate", "none")
    return n.aten("gelu", n.value(0), approximate=approximate)


def softsign(n: OnnxNode) -> Value:
    """x / (1 + |x|)."""
    x = n.value(0)
    if isinstance(x, torch.Tensor):
        return torch.nn.functional.softsign(x)
    return n.builder.emit(n.call(n.shape()), "unary", [x], n.shape(), fn="softsign")


def clip(n: OnnxNode) -> Value:
    """min(max(x, low), high); either may be missing.  Attributes before opset 11, inputs since."""
    low, high = (_number(n.given(name, index)) for index, name in ((1, "min"), (2, "max")))
    if low is None and high is None:
        return n.value(0)
    return n.aten("clamp", n.value(0), low, high)


def _number(given: object) -> float | None:
    while isinstance(given, list):
        (given,) = given
    return None if given is None or abs(float(given)) > 3.4e38 else float(given)  # type: ignore[arg-type]


def prelu(n: OnnxNode) -> Value:
    """x >= 0 ? x : slope * x, the slope one number or one for each channel."""
    slope, shape = n.constant(1, "the slope"), n.shape()
    slope = slope.reshape((1,) * (len(shape) - slope.dim()) + tuple(slope.shape))
    if any(size != 1 for axis, size in enumerate(slope.shape) if axis != 1):
        n.refuse(f"a slope of shape {tuple(slope.shape)}; supported are one number, and one for each channel")
    return n.aten("prelu", n.value(0), slope.reshape(-1))


def softmax(n: OnnxNode) -> Value:
    """exp(x) / sum exp(x) along ``axis``; before opset 13 along all axes from there on together."""
    x, shape, newer = n.value(0), n.shape(), n.opset >= 13
    axis = n.axis(default=-1 if newer else 1)
    if newer or axis == len(shape) - 1:
        return n.aten("softmax.int", x, axis)
    flat = n.aten("reshape", x, [math.prod(shape[:axis]), -1])
    return n.aten("reshape", n.aten("softmax.int", flat, 1), list(shape))


def log_softmax(n: OnnxNode) -> Value:
    return n.aten("log_softmax.int", n.value(0), n.axis(default=-1 if n.opset >= 13 else 1))


def where(n: OnnxNode) -> Value:
    return n.aten("where.self", n.value(0), n.value(1), n.value(2))
