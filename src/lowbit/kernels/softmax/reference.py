"""SoftmaxSpec in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.graph.logarithm import FRACTION_BITS, logarithm
from lowbit.kernels.integer_reference import integer_result
from lowbit.kernels.softmax.spec import SoftmaxSpec

__all__ = ["softmax"]


def softmax(
    spec: SoftmaxSpec, x: np.ndarray, w: np.ndarray | None = None, s: np.ndarray | None = None, t: np.ndarray | None = None
) -> np.ndarray:
    """x: stored values (n, h, w, c); the result (n, h, w, c).  Floats in float64, rounded at the end."""
    if w is None:
        x = x.astype(np.float64) - x.max(3, keepdims=True)
        e = np.exp(x)
        if spec.log:
            return np.asarray(x - np.log(e.sum(3, keepdims=True)), np.float32)
        return (e / e.sum(3, keepdims=True)).astype(np.float32)
    distance = x.max(3, keepdims=True).astype(np.int64) - x.astype(np.int64)
    e = w[distance].astype(np.int64)
    total = e.sum(3, keepdims=True)
    if spec.log:
        behind = (logarithm(total) - np.asarray(t)[-1]).astype(np.float32) * np.float32(2.0**-FRACTION_BITS)
        p = -(distance.astype(np.float32) * np.asarray(s, np.float32)[4] + behind)
    else:
        p = e.astype(np.float32) / total.astype(np.float32)
    if spec.dst.dtype == "f32":
        return p
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    if spec.sign:
        return integer_result(p, 0, 0, 0, dtype, True)
    factor, lo, hi, zero = np.asarray(s, np.float32)[:4]
    return integer_result(p * factor, lo, hi, zero, dtype)
