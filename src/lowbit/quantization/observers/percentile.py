"""The range that holds a share of the values."""

from __future__ import annotations

import numpy as np

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["percentile"]


def percentile(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """(lo, hi) with ``share`` % of the values not above hi, and as many not below lo; 0 included.

    Resolution: one bin of the histogram.
    """
    tail = (100.0 - share) / 100.0 * seen.counts.sum()
    below, above = np.cumsum(seen.counts), np.cumsum(seen.counts[::-1])
    lo = seen.origin + seen.width * int(np.searchsorted(below, tail, side="right"))
    hi = seen.origin + seen.width * (len(above) - int(np.searchsorted(above, tail, side="right")))
    return min(max(lo, seen.minimum), 0.0), max(min(hi, seen.maximum), 0.0)
