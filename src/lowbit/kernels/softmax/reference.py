"""SoftmaxSpec in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.integer_reference import integer_result
from lowbit.kernels.softmax.spec import SoftmaxSpec

__all__ = ["softmax"]


def softmax(spec: SoftmaxSpec, x: np.ndarray, w: np.ndarray | None = None, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c); the result (n, h, w, c).  Floats in float64, rounded at the end."""
    if w is None:
        e = np.exp(x.astype(np.float64) - x.max(3, keepdims=True))
        return (e / e.sum(3, keepdims=True)).astype(np.float32)
    e = w[x.max(3, keepdims=True).astype(np.int64) - x.astype(np.int64)].astype(np.int64)
    p = e.astype(np.float32) / e.sum(3, keepdims=True).astype(np.float32)
    if spec.dst.dtype == "f32":
        return p
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    if spec.sign:
        return integer_result(p, 0, 0, 0, dtype, True)
    factor, lo, hi, zero = np.asarray(s, np.float32)
    return integer_result(p * factor, lo, hi, zero, dtype)
