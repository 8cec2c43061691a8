"""DepthwiseSpec in numpy, exact for integers."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.spec import DepthwiseSpec

__all__ = ["accumulate", "depthwise"]


def accumulate(spec: DepthwiseSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: stored values with the halo, (n, hp, wp, c); w: (kh, kw, c).  Returns the sums (n, h, w, c) in
    int64 or float64."""
    total = np.float64 if spec.form == "f32" else np.int64
    dst, src = spec.dst, spec.src
    out = np.zeros((dst.n, dst.h, dst.w, x.shape[3]), total)
    for ky in range(spec.kernel[0]):
        for kx in range(spec.kernel[1]):
            y = src.top - spec.padding[0] + ky * spec.dilation[0]
            z = src.left - spec.padding[1] + kx * spec.dilation[1]
            window = x[:, y : y + (dst.h - 1) * spec.stride[0] + 1 : spec.stride[0]]
            window = window[:, :, z : z + (dst.w - 1) * spec.stride[1] + 1 : spec.stride[1]]
            out += window.astype(total) * w[ky, kx].astype(total)
    return out


def depthwise(
    spec: DepthwiseSpec, x: np.ndarray, w: np.ndarray, b: np.ndarray, s: np.ndarray, r: np.ndarray | None = None
) -> np.ndarray:
    """The stored result (n, h, w, c).  b: (c,); s = [m[c], lo, hi, zero, r_step, r_shift, r_multiplier], for
    floats [lo, hi]; r: stored residual (n, h, w, c)."""
    acc = accumulate(spec, x, w)
    s = np.asarray(s, np.float32)
    if spec.form == "f32":
        f = acc + b + (0 if r is None else r)
        return np.clip(f, s[0], s[1]).astype(np.float32)
    lo, hi, zero, r_step, r_shift, r_multiplier = s[-6:]
    f = ((acc << spec.acc_shift) + b.astype(np.int64)).astype(np.float32) * s[:-6]
    if r is not None:
        f = f + operand(r, r_step, r_shift) * r_multiplier
    if spec.dst.dtype == "f32":
        return np.clip(f, lo, hi)
    return integer_result(f, lo, hi, zero, np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)
