"""PoolSpec in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.kernels.integer_reference import integer_result
from lowbit.kernels.pool.spec import PoolSpec

__all__ = ["pool"]


_REDUCE: dict[str, Callable[..., np.ndarray]] = {"max": np.max, "min": np.min, "avg": np.sum}


def pool(spec: PoolSpec, x: np.ndarray, t: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c), t and s as the kernel takes them.  Returns the stored result (n, oh, ow, c).

    Float means are summed in float64, so they are the exact mean rounded, not the kernel's order.
    """
    if spec.fn == "norm":
        return _norm(spec, x, t, s)
    h, w = spec.dst.h, spec.dst.w
    y0, y1, x0, x1 = np.split(np.asarray(t), [h, 2 * h, 2 * h + w])
    out = np.empty((x.shape[0], h, w, x.shape[3]), np.float64 if x.dtype == np.float32 else np.int64)
    count = np.empty((h, w), np.int64)
    for i in range(h):
        for j in range(w):
            window = x[:, y0[i] : y1[i], x0[j] : x1[j]].astype(out.dtype)
            out[:, i, j] = _REDUCE[spec.fn](window, (1, 2))
            count[i, j] = window.shape[1] * window.shape[2]
    if spec.fn in ("max", "min"):
        return out.astype(x.dtype)
    s = np.asarray(s, np.float32)
    if x.dtype == np.float32:
        return (out * s.reshape(h, w)[None, :, :, None]).astype(np.float32)
    step, shift, lo, hi, zero = s[:5]
    acc = out * int(step) + count[None, :, :, None] * int(shift)
    f = (acc if spec.wide else acc.astype(np.int32)).astype(np.float32) * s[5:].reshape(h, w)[None, :, :, None]
    return integer_result(f, lo, hi, zero, np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)


def _norm(spec: PoolSpec, x: np.ndarray, t: np.ndarray, s: np.ndarray | None) -> np.ndarray:
    """Lengths of windows: integers exact up to the root, floats in float64."""
    h, w = spec.dst.h, spec.dst.w
    y0, y1, x0, x1 = np.split(np.asarray(t), [h, 2 * h, 2 * h + w])
    v = x.astype(np.float64) if s is None else x.astype(np.int64) * int(s[0]) + int(s[1])
    sums = [[(v[:, y0[i] : y1[i], x0[j] : x1[j]] ** 2).sum((1, 2)) for j in range(w)] for i in range(h)]
    root = np.sqrt(np.array(sums, np.float64)).astype(np.float32).transpose(2, 0, 1, 3)
    if s is None:
        return root
    lo, hi, zero, factor = np.asarray(s[2:], np.float32)
    return integer_result(root * factor, lo, hi, zero, np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)
