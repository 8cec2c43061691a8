"""ResponseNormSpec in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.graph.powers import power_of
from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.response_norm.spec import ResponseNormSpec

__all__ = ["response_norm"]


def response_norm(spec: ResponseNormSpec, x: np.ndarray, r: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c).  The stored result."""
    v = x if s is None else operand(x, s[0], s[1])
    squares = v.astype(np.float64) ** 2
    before, after = spec.size // 2, (spec.size - 1) // 2
    padded = np.pad(squares, ((0, 0), (0, 0), (0, 0), (before, after)))
    total = sum(padded[..., place : place + x.shape[3]] for place in range(spec.size))
    inverse = (1 / power_of(r[0] + r[1] * np.asarray(total), spec.power)).astype(np.float32)
    if s is None:
        return v * inverse
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    return integer_result((v * inverse) * s[5], s[2], s[3], s[4], dtype, spec.sign)
