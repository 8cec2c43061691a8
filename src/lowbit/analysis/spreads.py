"""Histograms of weights and activations, and what integers of each width do to them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lowbit.analysis.report import Range, Spread
from lowbit.numerics import QParams, dequantize
from lowbit.quantization.observers import Histogram
from lowbit.quantization.weights import round_weights

__all__ = ["activation_spread", "decibels", "weight_spread"]

_BINS = 128  # shown


def decibels(power: float, error: float) -> float | None:
    """10 log10(power / error); None where there is no error."""
    if error == 0:
        return None
    return float(10 * np.log10(max(power, 1e-300) / error))


def weight_spread(w: np.ndarray, chosen: Mapping[int, QParams]) -> Spread:
    """Of float weights (O, I, ...), and bits -> the QParams that were chosen for them."""
    reach = float(np.abs(w).max(initial=0)) or 1.0
    counts, _ = np.histogram(w, _BINS, (-reach, reach))
    ranges = {}
    for bits, params in chosen.items():
        error = np.square(dequantize(round_weights(w, params), params).astype(np.float64) - w)
        scale = params.scale.reshape((-1,) + (1,) * (w.ndim - 1)).astype(np.float64)
        factor = 1 if params.group_scale is None else int(params.group_scale.max())
        lo, hi = params.qtype.qmin * scale * factor, params.qtype.qmax * scale * factor
        outside = float(error[(w < lo) | (w > hi)].sum())
        total = float(error.sum())
        ranges[bits] = Range(
            float(lo.min()),
            float(hi.max()),
            decibels(float(np.square(w, dtype=np.float64).sum()), total),
            outside / total if total else 0.0,
        )
    return Spread(-reach, 2 * reach / _BINS, tuple(map(float, counts)), ranges)


def activation_spread(seen: Histogram, chosen: Mapping[int, QParams]) -> Spread:
    """Of what calibration saw of a value; bin centres stand for the values."""
    used = seen.counts > 0
    x, counts = seen.centers[used], seen.counts[used]
    lo, hi = min(seen.minimum, 0.0), max(seen.maximum, 0.0)
    hi = hi if hi > lo else lo + 1.0
    shown, _ = np.histogram(np.clip(x, lo, hi), _BINS, (lo, hi), weights=counts)
    ranges = {}
    for bits, params in chosen.items():
        qtype, z, scale = params.qtype, params.zero_point, float(params.scale)
        low, high = scale * (qtype.qmin - z), scale * (qtype.qmax - z)
        if qtype.bipolar:
            rounded = np.where(x >= 0, scale, -scale)
        else:
            rounded = scale * np.clip(np.rint(x / scale), qtype.qmin - z, qtype.qmax - z)
        error = counts * np.square(rounded - x)
        total = float(error.sum())
        outside = float(error[(x < low) | (x > high)].sum())
        ranges[bits] = Range(low, high, decibels(float((counts * x * x).sum()), total), outside / total if total else 0.0)
    return Spread(lo, (hi - lo) / _BINS, tuple(map(float, shown)), ranges)
