"""Elementwise operations, concatenation, tables and softmax on integers."""

from __future__ import annotations

import numpy as np

from lowbit.graph.ir import Node, TensorType
from lowbit.graph.logarithm import FRACTION_BITS, logarithm
from lowbit.graph.oracle.result import offsets, params_of, per_channel, to_integers
from lowbit.numerics import dequantize, multiplier, quantize

__all__ = ["affine", "binary", "concat", "from_integers", "rescale", "softmax", "to_quantized", "unary"]


def _scaled(q: np.ndarray, tensor: TensorType, out: TensorType) -> np.ndarray:
    """f32(q - z) * f32(s_in / s_out)"""
    params = params_of(tensor)
    return offsets(q, params).astype(np.float32) * multiplier(params.scale, params_of(out).scale)


def rescale(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return to_integers(_scaled(values[0], types[0], out), node, out)


def binary(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """add, sub, maximum, minimum: the products rounded, then the sum or the larger.  mul: one exact product of integers, one
    multiplier."""
    if node.op == "mul":
        x, y = params_of(types[0]), params_of(types[1])
        factor = multiplier(x.scale.astype(np.float64) * y.scale.astype(np.float64), params_of(out).scale)
        f = (offsets(values[0], x).astype(np.int64) * offsets(values[1], y)).astype(np.float32) * factor
    else:
        left, right = (_scaled(q, t, out) for q, t in zip(values, types, strict=True))
        f = _COMBINE[node.op](left, right)
    return to_integers(f, node, out)


_COMBINE = {"add": np.add, "sub": np.subtract, "maximum": np.maximum, "minimum": np.minimum}


def affine(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    x = offsets(values[0], params_of(types[0])).astype(np.float32)
    scale, shift = (per_channel(v, x.ndim, 1) for v in values[1:])
    return to_integers(x * scale + shift, node, out)


def concat(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    grid = params_of(out)
    parts = [
        q if params_of(t).same_grid(grid) else to_integers(_scaled(q, t, out), node, out)
        for q, t in zip(values, types, strict=True)
    ]
    return np.concatenate(parts, axis=node.attrs["axis"])


def unary(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """table[q - qmin]; two entries, for -1 and +1, where q is b1."""
    qtype = params_of(types[0]).qtype
    index = values[0].astype(np.int32)
    return values[1][(index + 1) >> 1 if qtype.bipolar else index - qtype.qmin]


def softmax(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """p = f32(table[max q - q]) / f32(sum of them).

    With ``log``: -(f32(max q - q) s + f32(ln sum - ln table[0]) 2^-24), logarithms of integers as graph/logarithm.py has them."""
    q, axis = values[0].astype(np.int32), node.attrs["axis"]
    distance = q.max(axis, keepdims=True) - q
    e = values[1][distance]
    if node.attrs.get("log"):
        least = logarithm(e.sum(axis, dtype=np.int64, keepdims=True)) - logarithm(values[1][:1])
        behind = least.astype(np.float32) * np.float32(2.0**-FRACTION_BITS)
        y = -(distance.astype(np.float32) * np.float32(params_of(types[0]).scale) + behind)
        return y if out.quant is None else to_integers(y * multiplier(np.float64(1), out.quant.scale), node, out)
    p = e.astype(np.float32) / e.sum(axis, dtype=np.int64, keepdims=True).astype(np.float32)
    if out.quant is None:
        return p
    return to_integers(p * multiplier(np.float64(1), out.quant.scale), node, out)


def to_quantized(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return quantize(values[0], params_of(out))


def from_integers(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return dequantize(values[0], params_of(types[0]))
