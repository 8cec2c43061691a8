"""The three roundings of lowbit, each with one answer on every IEEE 754 machine."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.numerics.groups import group_factor
from lowbit.numerics.qparams import QParams

__all__ = ["dequantize", "multiplier", "quantize", "requantize"]


def _shaped(values: np.ndarray, ndim: int, axis: int | None) -> np.ndarray:
    return values if axis is None else values.reshape([-1 if d == axis else 1 for d in range(ndim)])


def quantize(x: np.ndarray | np.floating | float, params: QParams) -> np.ndarray:
    """q = clamp(rint(x / scale) + zero_point, qmin, qmax), all in float32, rint half to even.

    ``b1``: q = +1 where x >= 0, else -1.  NaN gives qmin.
    """
    x = np.asarray(x, np.float32)
    if params.qtype.bipolar:
        return np.where(x >= 0, 1, -1).astype(np.int8)
    lo, hi = params.qtype.qmin - params.zero_point, params.qtype.qmax - params.zero_point
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.rint(x / _shaped(params.scale, x.ndim, params.axis))
    steps = np.where(np.isnan(steps), lo, np.clip(steps, lo, hi))
    return (steps.astype(np.int32) + params.zero_point).astype(params.qtype.dtype)


def dequantize(q: np.ndarray, params: QParams) -> np.ndarray:
    """x = float32(q - zero_point) * scale (times the group's integer scale, if any).  float32."""
    q = np.asarray(q).astype(np.int32) - params.zero_point
    factor = group_factor(params, q.shape)
    return (q if factor is None else q * factor).astype(np.float32) * _shaped(params.scale, q.ndim, params.axis)


def multiplier(scale_in: np.ndarray | float, scale_out: np.ndarray | float) -> np.ndarray:
    """float32(scale_in / scale_out), the division in float64.  ``scale_in`` may be a float64 product.

    Raises NumericsError for one that is not finite in float32."""
    with np.errstate(over="ignore"):
        factor = (np.asarray(scale_in, np.float64) / np.asarray(scale_out, np.float64)).astype(np.float32)
    if not np.isfinite(factor).all():
        raise NumericsError(f"the multiplier {np.max(scale_in):.4g} / {np.min(scale_out):.4g} is not finite in float32")
    return factor


def requantize(acc: np.ndarray, factor: np.ndarray | np.floating, lo: int, hi: int, zero_point: int) -> np.ndarray:
    """q = clamp(rint(float32(acc) * factor) + zero_point, lo, hi).

    ``acc``: int32 or int64 (converted to float32 with one rounding) or float32; ``factor``: float32,
    broadcast against it.  int -> float32, the product and rint are each correctly rounded, so the
    result is the same wherever nothing fuses the product with an add.  Returns int32.
    """
    steps = np.rint(acc.astype(np.float32) * np.asarray(factor, np.float32))
    return np.clip(steps, lo - zero_point, hi - zero_point).astype(np.int32) + zero_point
