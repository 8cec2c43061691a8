"""ResizeSpec in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.integer_reference import integer_result
from lowbit.kernels.resize.spec import ResizeSpec

__all__ = ["resize"]


def resize(spec: ResizeSpec, x: np.ndarray, t: np.ndarray, w: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c), t, w and s as the kernel takes them.  Returns the stored result (n, oh, ow, c); float sums
    in float64."""
    h, width, (down, across) = spec.dst.h, spec.dst.w, spec.taps
    kind = np.float64 if x.dtype == np.float32 else np.int64
    rows = np.asarray(w[: h * down], kind).reshape(h, down)
    columns = np.asarray(w[h * down :], kind).reshape(width, across)
    acc = np.zeros((x.shape[0], h, width, x.shape[3]), kind)
    for y, z in np.ndindex(h, width):
        window = x[:, t[y] : t[y] + down, t[h + z] : t[h + z] + across].astype(kind)
        acc[:, y, z] = np.einsum("nijc,i,j->nc", window, rows[y], columns[z])
    if x.dtype == np.float32:
        return acc.astype(np.float32)
    assert s is not None
    step, shift, lo, hi, zero, multiplier = np.asarray(s, np.float32)
    f = (acc * int(step) + int(shift)).astype(np.float32) * multiplier
    return integer_result(f, lo, hi, zero, np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)
