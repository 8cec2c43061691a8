"""BinarySpec in numpy: every float32 operation rounded once, as kernels/spec.py defines it."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.spec import BinarySpec

__all__ = ["binary"]


def binary(
    spec: BinarySpec,
    s: np.ndarray,
    x: np.ndarray,
    r: np.ndarray | None = None,
    w: np.ndarray | None = None,
    b: np.ndarray | None = None,
) -> np.ndarray:
    """x, r: stored values (n, h, w, c); r broadcasts for "pixel".  w, b: float32 (c,).  Returns the stored result."""
    s = np.asarray(s, np.float32)
    if spec.dst.dtype == "f32":
        f = {
            "add": lambda: x + r,
            "sub": lambda: x - r,
            "mul": lambda: x * r,
            "affine": lambda: x * w + b,
            "rescale": lambda: x,
        }[spec.fn]()
        return np.minimum(np.maximum(f, s[0]), s[1]).astype(np.float32)
    vx = operand(x, s[0], s[1])
    vr = None if r is None else operand(r, s[3], s[4])
    f = {
        "add": lambda: vx * s[2] + vr * s[5],
        "sub": lambda: vx * s[2] + vr * s[5],  # s[5] is negative
        "mul": lambda: (vx.astype(np.int64) * vr.astype(np.int64)).astype(np.float32) * s[2],
        "affine": lambda: vx * w + b,
        "rescale": lambda: vx * s[2],
    }[spec.fn]()
    dtype = np.int16 if spec.dst.dtype == "i16" else np.uint8
    return integer_result(f.astype(np.float32), s[6], s[7], s[8], dtype, spec.sign)
