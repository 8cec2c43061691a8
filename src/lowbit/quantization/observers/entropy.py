"""The range whose integers lose the least information."""

from __future__ import annotations

import numpy as np

from lowbit.numerics import QType
from lowbit.quantization.observers.histogram import Histogram

__all__ = ["entropy"]

_SHARES = np.concatenate([np.linspace(1.0, 0.5, 26), np.geomspace(0.48, 0.02, 24)])  # of the full range
_LEAST = 1e-12


def entropy(seen: Histogram, qtype: QType, share: float) -> tuple[float, float]:
    """The (lo, hi), of shares of the full range, with the least KL(P || Q) (Migacz: 8-bit Inference with TensorRT, GTC 2017).

    P: the histogram with what lies outside counted in the outermost bins that are inside.  Q: the bins inside, with the
    count of each step of the integers spread evenly over those of its bins that are not empty.  The bin of 0, in which a
    ReLU leaves a peak that every range represents exactly, counts as much as its fuller neighbour."""
    lo, hi = min(seen.minimum, 0.0), max(seen.maximum, 0.0)
    if lo == hi or not seen.counts.any():
        return lo, hi
    counts, x = seen.counts.copy(), seen.centers
    zero = int(np.argmin(np.abs(x)))
    around = [counts[i] for i in (zero - 1, zero + 1) if 0 <= i < len(counts)]
    counts[zero] = min(counts[zero], max(around, default=0.0))
    if not counts.any():
        return lo, hi
    found = [_divergence(x, counts, lo * s, hi * s, qtype) for s in _SHARES]
    best = float(_SHARES[int(np.argmin(found))])
    return lo * best, hi * best


def _divergence(x: np.ndarray, counts: np.ndarray, lo: float, hi: float, qtype: QType) -> float:
    """KL(P || Q) in nats for this range."""
    inside = (x >= lo) & (x <= hi)
    if not counts[inside].any():
        return float("inf")
    held, places = counts[inside], x[inside]
    p = held.copy()
    p[0] += counts[x < lo].sum()
    p[-1] += counts[x > hi].sum()
    step = max(-lo, hi) / qtype.qmax if qtype.signed else (hi - lo) / qtype.qmax
    cell = np.rint(places / step).astype(np.int64)
    cell -= cell.min()
    used = held > 0
    totals, sizes = np.bincount(cell, held), np.bincount(cell, used)
    q = np.where(used, totals[cell] / np.maximum(sizes[cell], 1), 0.0)
    p, q = p / p.sum(), q / q.sum()
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], _LEAST))).sum())
