"""numpy form of the integer operand and the integer result of kernels/spec.py, the plain version
that every schedule equals."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["integer_result", "operand"]


def operand(stored: np.ndarray, step: float, shift: float) -> np.ndarray:
    """f32(stored) * step + shift, float32 (exact: the integer q - zero_point)."""
    return stored.astype(np.float32) * np.float32(step) + np.float32(shift)


def integer_result(f: np.ndarray, lo: float, hi: float, zero: float, dtype: DTypeLike, sign: bool = False) -> np.ndarray:
    """int(clamp(rint(f), lo, hi)) + zero as ``dtype``; NaN gives lo.  ``sign``: f >= 0."""
    if sign:
        return (f >= 0).astype(dtype)
    with np.errstate(invalid="ignore"):
        steps = np.rint(np.asarray(f, np.float32))
    steps = np.where(np.isnan(steps), np.float32(lo), np.clip(steps, np.float32(lo), np.float32(hi)))
    return (steps.astype(np.int32) + int(zero)).astype(dtype)
