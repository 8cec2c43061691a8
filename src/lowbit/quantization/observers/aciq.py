"""The range that is best for the distribution that the values seem to have."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["aciq", "clipping"]

_BETWEEN = (math.sqrt(0.5) + math.sqrt(2 / math.pi)) / 2  # E|x - m| / deviation: 0.707 for Laplace, 0.798 for Gauss


def aciq(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """mean -+ alpha, cut to what was seen, 0 included (Banner, Nahshan, Soudry: Post Training 4-bit Quantization of Convolutional
    Networks for Rapid-Deployment, NeurIPS 2019, section 3).

    Of a Laplace or a normal distribution, whichever has the nearer ratio of mean absolute to standard deviation, alpha has the
    least sum of the expected squared errors of clipping and of rounding.  Values that are never negative are taken for
    the positive half of one with mean 0: the peak at 0 apart, and with twice as many steps for the range."""
    lo, hi = min(seen.minimum, 0.0), max(seen.maximum, 0.0)
    counts, x = seen.counts.copy(), seen.centers
    one_sided = seen.minimum >= 0
    if one_sided:
        counts[int(np.argmin(np.abs(x)))] = 0
    total = counts.sum()
    if lo == hi or total == 0:
        return lo, hi
    mean = 0.0 if one_sided else float(counts @ x / total)
    spread = float(counts @ np.abs(x - mean) / total)
    deviation = math.sqrt(float(counts @ np.square(x - mean)) / total)
    if spread == 0:
        return lo, hi
    laplace = spread / deviation < _BETWEEN
    alpha = clipping(qtype.bits + one_sided, laplace) * (spread if laplace else deviation)
    return max(lo, min(mean - alpha, 0.0)), min(hi, max(mean + alpha, 0.0))


@cache
def clipping(bits: int, laplace: bool) -> float:
    """alpha / b (Laplace) or alpha / sigma (normal) for 2^bits steps over -alpha .. alpha: the minimum of

    2 exp(-k) + k^2 / (3 * 4^bits)                                                     (eq. 7)
    (k^2 + 1) (1 - erf(k / sqrt 2)) - sqrt(2 / pi) k exp(-k^2 / 2) + k^2 / (3 * 4^bits)     (appendix)
    """
    k = np.linspace(0.05, 30, 60_000)
    rounding = np.square(k) / (3 * 4.0**bits)
    if laplace:
        return float(k[np.argmin(2 * np.exp(-k) + rounding)])
    outside = 1 - np.array([math.erf(v / math.sqrt(2)) for v in k])
    clipped = (np.square(k) + 1) * outside - math.sqrt(2 / math.pi) * k * np.exp(-np.square(k) / 2)
    return float(k[np.argmin(clipped + rounding)])
