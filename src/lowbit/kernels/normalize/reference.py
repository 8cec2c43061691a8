"""The kernels of normalisations in numpy."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.integer_reference import integer_result, operand
from lowbit.kernels.normalize.spec import LayerNormSpec, MomentsSpec, NormalizeSpec, StatisticsSpec

__all__ = ["layer_norm", "moments", "normalize", "statistics"]


def _statistics(
    s1: np.ndarray, s2: np.ndarray, count: int, r: np.ndarray, exact: bool, centred: bool, mean: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(whole, part, inv) as float32; of integers s1 and s2 are int64 and everything up to the variance is exact."""
    if exact:
        s1, s2 = s1.astype(np.int64), s2.astype(np.int64)
        whole = s1 // count if centred else np.zeros_like(s1)
        rest = s1 - count * whole if centred else np.zeros_like(s1)
        q = s2 - 2 * whole * s1 + count * whole * whole
        variance = q.astype(np.float64) - rest.astype(np.float64) * rest.astype(np.float64) / np.float64(count)
        part = (rest.astype(np.float64) / np.float64(count)).astype(np.float32)
        whole32 = whole.astype(np.float32)
    else:
        average = s1 / count if centred else np.zeros_like(s1)
        variance = np.maximum(s2 - s1 * average, 0)
        whole32 = average.astype(np.float32)
        part = (average - whole32).astype(np.float32)
    with np.errstate(divide="ignore"):
        root = np.sqrt((variance / count if mean else variance) + r[0])
        inverse = (1 / np.maximum(root, r[1])).astype(np.float32)
    return whole32, part, np.where(variance > 0, inverse, np.float32(0)) if exact else inverse


def _values(x: np.ndarray, s: np.ndarray | None) -> np.ndarray:
    return x if s is None else operand(x, s[0], s[1])


def _finished(spec: LayerNormSpec | NormalizeSpec, f: np.ndarray, s: np.ndarray | None) -> np.ndarray:
    if spec.src.dtype == "f32":
        return f if s is None else np.clip(f, s[0], s[1])
    assert s is not None
    return integer_result(f, s[2], s[3], s[4], np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)


def layer_norm(
    spec: LayerNormSpec, x: np.ndarray, r: np.ndarray, w: np.ndarray, b: np.ndarray, s: np.ndarray | None = None
) -> np.ndarray:
    """x: stored values (n, h, w, c); w, b: float32 (c,).  The stored result."""
    floats = spec.src.dtype == "f32"
    v = _values(x, None if floats else s)
    wide = v.astype(np.float64 if floats else np.int64)
    s1, s2 = (each.sum(3, keepdims=True) for each in (wide, wide * wide))
    whole, part, inverse = _statistics(s1, s2, x.shape[3], r, not floats, spec.centred, spec.mean)
    return _finished(spec, ((v - whole) - part) * (inverse * w) + b, s)


def moments(spec: MomentsSpec, x: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """float64 (n, h, 2, c)."""
    v = _values(x, s).astype(np.float64)
    return np.stack([v.sum(2), (v * v).sum(2)], 2)


def statistics(spec: StatisticsSpec, x: np.ndarray, r: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: float64 (n, h, 2, c), w: float32 (c,).  float32 (n, 1, 3, c)."""
    n, _, _, c = x.shape
    total = x.sum(1).reshape(n, 2, spec.groups, c // spec.groups).sum(3)
    count = c // spec.groups * spec.area
    found = _statistics(total[:, 0], total[:, 1], count, r, spec.exact, spec.centred, spec.mean)
    whole, part, inverse = (np.repeat(each, c // spec.groups, 1) for each in found)
    return np.stack([whole, part, inverse * w], 1)[:, None]


def normalize(spec: NormalizeSpec, x: np.ndarray, r: np.ndarray, b: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, h, w, c); r: float32 (n, 1, 3, c); b: float32 (c,)."""
    whole, part, factor = (r[:, :, place : place + 1] for place in range(3))
    return _finished(spec, ((_values(x, None if spec.src.dtype == "f32" else s) - whole) - part) * factor + b, s)
