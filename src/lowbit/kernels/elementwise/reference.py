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
    vx = operand(x, s[0], s[1]) if spec.dst.dtype != "f32" else x
    if r is None:
        f = vx * w + b if spec.fn == "affine" else vx if spec.dst.dtype == "f32" else vx * s[2]
    elif spec.dst.dtype == "f32":
        f = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[spec.fn](x, r)
    else:
        vr = operand(r, s[3], s[4])
        if spec.fn == "mul":
            f = (vx.astype(np.int64) * vr.astype(np.int64)).astype(np.float32) * s[2]
        else:  # of sub, s[5] is negative
            f = vx * s[2] + vr * s[5]
    if spec.dst.dtype == "f32":
        return np.minimum(np.maximum(f, s[0]), s[1]).astype(np.float32)
    return integer_result(f.astype(np.float32), s[6], s[7], s[8], np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)
