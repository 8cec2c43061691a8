"""The range with the least squared error of rounding and clipping."""

from __future__ import annotations

import numpy as np

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["mse"]

_SHARES = np.concatenate([np.linspace(1.0, 0.5, 26), np.geomspace(0.48, 0.01, 30)])  # of the full range


def _error(x: np.ndarray, counts: np.ndarray, lo: np.ndarray, hi: np.ndarray, qtype: QType) -> np.ndarray:
    """sum counts * (x - fake_quantize(x))^2 for each (lo, hi), with the scale and zero point that
    quantization gives this range; bin centres stand for their values.  Shape of ``lo``."""
    if qtype.bipolar:
        scale = np.maximum(-lo, hi)[:, None]
        return ((x - np.where(x >= 0, scale, -scale)) ** 2) @ counts
    if qtype.signed:
        scale, zero = np.maximum(-lo, hi) / qtype.qmax, np.zeros_like(lo)
    else:
        scale = (hi - lo) / qtype.qmax
        zero = np.rint(-lo / scale)
    scale, zero = scale[:, None], zero[:, None]
    q = np.clip(np.rint(x / scale), qtype.qmin - zero, qtype.qmax - zero)
    return ((x - scale * q) ** 2) @ counts


def mse(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """The (lo, hi) of a search over shares of the full range: both ends together, then each alone.

    Values that round to 0 either way cost the same for every range, so the many zeros that a ReLU
    makes do not weigh.
    """
    lo, hi = min(seen.minimum, 0.0), max(seen.maximum, 0.0)
    used = seen.counts > 0
    if lo == hi or not used.any():
        return lo, hi
    x, counts = seen.centers[used], seen.counts[used]

    def best(los: np.ndarray, his: np.ndarray) -> tuple[float, float]:
        k = int(np.argmin(_error(x, counts, los, his, qtype)))
        return float(los[k]), float(his[k])

    lo, hi = best(lo * _SHARES, hi * _SHARES)
    if lo < 0 < hi and not qtype.signed:
        for _ in range(2):
            nearby = np.linspace(0.6, 1.4, 41)
            lo, hi = best(np.maximum(lo * nearby, seen.minimum), np.full(41, hi))
            lo, hi = best(np.full(41, lo), np.minimum(hi * nearby, seen.maximum))
    return lo, hi
