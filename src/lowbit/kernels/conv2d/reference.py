"""Convolutions in numpy, exact for integers: what every form and every algorithm equals."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.spec import ConvSpec, form_of
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.layout import FLOATS
from lowbit.kernels.named import named
from lowbit.kernels.winograd.spec import WinogradSpec

__all__ = ["accumulate", "convolution", "finish", "window"]


def window(at: ConvGeometry, x: np.ndarray, tap: tuple[int, int]) -> np.ndarray:
    """What one tap reads of x (n, hp, wp, c), the values with their halo: (n, h, w, c), one for each output pixel."""
    y, z = (start + k * step for start, k, step in zip(at.origin, tap, at.dilation, strict=True))
    rows = x[:, y : y + (at.dst.h - 1) * at.stride[0] + 1 : at.stride[0]]
    return rows[:, :, z : z + (at.dst.w - 1) * at.stride[1] + 1 : at.stride[1]]


def accumulate(at: ConvGeometry, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sums of x (n, hp, wp, C), stored values with their halo, times w (N, kh, kw, C / groups): float64 (n, h, w, N),
    exact for integers, whose sums are below 2^53."""
    share, groups = w.shape[3], x.shape[3] // w.shape[3]
    outputs = w.shape[0] // groups
    total = np.zeros((at.dst.n, at.dst.h, at.dst.w, w.shape[0]))
    for tap in np.ndindex(*at.kernel):
        seen = window(at, x, tap).astype(np.float64)
        for g in range(groups):
            chosen = slice(g * outputs, (g + 1) * outputs)
            total[..., chosen] += seen[..., g * share : (g + 1) * share] @ w[chosen, tap[0], tap[1]].astype(np.float64).T
    return total


def convolution(
    spec: ConvSpec | WinogradSpec, x: np.ndarray, w: np.ndarray, b: np.ndarray, s: np.ndarray, r: np.ndarray | None = None
) -> np.ndarray:
    """The stored result (n, h, w, N).  x, w: as in :func:`accumulate`, before a form packs them; b: (N,);
    s = [m[N], lo, hi, zero, r_step, r_shift, r_multiplier], for floats [lo, hi]; r: stored residual (n, h, w, N).

    Of a form whose sums of floats are known bit for bit these, added up in float32."""
    own = form_of(spec.form).sums if isinstance(spec, ConvSpec) else ""
    if own:
        return np.asarray(finish(spec, named(own)(spec, x, w), np.asarray(b, np.float32), s, r))
    return finish(spec, accumulate(spec, x, w), b, s, r)


def finish(
    spec: ConvSpec | WinogradSpec | DepthwiseSpec, acc: np.ndarray, b: np.ndarray, s: np.ndarray, r: np.ndarray | None
) -> np.ndarray:
    """What is stored of sums ``acc``, the other arguments as in :func:`convolution`."""
    s = np.asarray(s, np.float32)
    if spec.act in FLOATS:
        total = acc + b if r is None else acc + b + r
        return np.clip(total, s[0], s[1]).astype(np.float32)
    lo, hi, zero, r_step, r_shift, r_multiplier = s[-6:]
    f = ((acc.astype(np.int64) << spec.acc_shift) + b.astype(np.int64)).astype(np.float32) * s[:-6]
    if r is not None:
        f = f + operand(r, r_step, r_shift) * r_multiplier
    if spec.dst.dtype == "f32":
        return np.clip(f, lo, hi)
    return integer_result(f, lo, hi, zero, np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)
