"""DepthwiseSpec in numpy, exact for integers."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.reference import finish, window
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.layout import FLOATS

__all__ = ["accumulate", "depthwise"]


def accumulate(spec: DepthwiseSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: stored values with the halo, (n, hp, wp, c); w: (kh, kw, c).  Returns the sums (n, h, w, c) in
    int64 or float64."""
    total = np.float64 if spec.form in FLOATS else np.int64
    out: np.ndarray = np.zeros((spec.dst.n, spec.dst.h, spec.dst.w, x.shape[3]), total)
    for tap in np.ndindex(*spec.kernel):
        out += window(spec, x, tap).astype(total) * w[tap].astype(total)
    return out


def depthwise(
    spec: DepthwiseSpec, x: np.ndarray, w: np.ndarray, b: np.ndarray, s: np.ndarray, r: np.ndarray | None = None
) -> np.ndarray:
    """The stored result (n, h, w, c).  b: (c,); s = [m[c], lo, hi, zero, r_step, r_shift, r_multiplier], for
    floats [lo, hi]; r: stored residual (n, h, w, c)."""
    return finish(spec, accumulate(spec, x, w), b, s, r)
