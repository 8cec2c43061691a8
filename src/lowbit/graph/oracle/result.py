"""From a real value in units of the output scale to the output's integer; integer operands."""

from __future__ import annotations

import numpy as np

from lowbit.graph.ir import Node, TensorType
from lowbit.numerics import QParams, requantize

__all__ = ["Value", "clamp_float", "offsets", "params_of", "per_channel", "to_integers"]

Value = np.ndarray


def params_of(tensor: TensorType) -> QParams:
    """The quantization of a value that the verifier knows to be an integer."""
    if tensor.quant is None:
        raise TypeError(f"{tensor} is not quantized")
    return tensor.quant


def offsets(q: np.ndarray, params: QParams) -> np.ndarray:
    """q - zero_point as int32."""
    return q.astype(np.int32) - np.int32(params.zero_point)


def per_channel(values: np.ndarray, ndim: int, axis: int) -> np.ndarray:
    """Shape (C,) -> broadcast along ``axis`` of a tensor of rank ``ndim``."""
    return values.reshape([-1 if d == axis else 1 for d in range(ndim)])


def to_integers(f: np.ndarray, node: Node, out: TensorType) -> np.ndarray:
    """q = clamp(rint(f) + zero_point, qlo, qhi); for b1: +1 where f >= 0, else -1, clamped alike."""
    params = params_of(out)
    if params.qtype.bipolar:
        return np.clip(np.where(f >= 0, 1, -1), node.attrs["qlo"], node.attrs["qhi"]).astype(np.int8)
    q = requantize(f, np.float32(1), node.attrs["qlo"], node.attrs["qhi"], params.zero_point)
    return q.astype(params.qtype.dtype)


def clamp_float(f: np.ndarray, node: Node) -> np.ndarray:
    """The fused clamp of a float32 result."""
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    if lo is None and hi is None:
        return f
    return np.clip(f, -np.inf if lo is None else np.float32(lo), np.inf if hi is None else np.float32(hi))
