"""Float32 parts of integer graphs: elementwise steps rounded once each, sums and functions in float64 and rounded once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.graph.ir import Node, TensorType
from lowbit.graph.oracle.exact import float_conv2d
from lowbit.graph.oracle.result import clamp_float, per_channel
from lowbit.graph.unary import function_of

__all__ = ["REAL"]

Values = list[np.ndarray]
Types = list[TensorType]


def _layer(node: Node, values: Values, types: Types, out: TensorType) -> np.ndarray:
    x, w, a = values[0], values[1], node.attrs
    residual = values[-1] if a.get("residual") else None
    bias = values[2] if len(values) > 2 + (residual is not None) else np.zeros(len(w), np.float32)
    if node.op == "conv2d":
        y = float_conv2d(x, w, bias, a["stride"], a["padding"], a["dilation"], a["groups"])
    else:
        y = x.astype(np.float64) @ w.astype(np.float64).T + bias
    y = y.astype(np.float32)
    return clamp_float(y if residual is None else y + residual, node)


def _binary(step: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Node, Values, Types, TensorType], np.ndarray]:
    return lambda node, values, types, out: clamp_float(step(values[0], values[1]), node)


def _affine(node: Node, values: Values, types: Types, out: TensorType) -> np.ndarray:
    x, scale, shift = values
    return clamp_float(x * per_channel(scale, x.ndim, 1) + per_channel(shift, x.ndim, 1), node)


def _avg_pool(node: Node, values: Values, types: Types, out: TensorType) -> np.ndarray:
    x = values[0].astype(np.float64)
    rows = np.stack([x[:, :, a:b].sum(2) for a, b in node.attrs["windows"]], 2)
    sums = np.stack([rows[..., a:b].sum(3) for a, b in node.attrs["columns"]], 3)
    return (sums / np.asarray(node.attrs["divisors"], np.float64).reshape(sums.shape[2:])).astype(np.float32)


def _unary(node: Node, values: Values, types: Types, out: TensorType) -> np.ndarray:
    return function_of(node.attrs)(values[0]).astype(np.float32)


def _softmax(node: Node, values: Values, types: Types, out: TensorType) -> np.ndarray:
    x, axis = values[0].astype(np.float64), node.attrs["axis"]
    x = x - x.max(axis, keepdims=True)
    e = np.exp(x)
    if node.attrs.get("log"):
        return np.asarray(x - np.log(e.sum(axis, keepdims=True)), np.float32)
    return (e / e.sum(axis, keepdims=True)).astype(np.float32)


REAL: dict[str, Callable[[Node, Values, Types, TensorType], np.ndarray]] = {
    "add": _binary(np.add),
    "affine": _affine,
    "avg_pool2d": _avg_pool,
    "clamp": lambda node, values, types, out: clamp_float(values[0], node),
    "concat": lambda node, values, types, out: np.concatenate(values, axis=node.attrs["axis"]),
    "conv2d": _layer,
    "linear": _layer,
    "maximum": _binary(np.maximum),
    "minimum": _binary(np.minimum),
    "mul": _binary(np.multiply),
    "softmax": _softmax,
    "sub": _binary(np.subtract),
    "unary": _unary,
}
"""Operation -> its meaning on float32 values."""
