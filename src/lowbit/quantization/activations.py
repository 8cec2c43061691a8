"""From the range of a tensor to its scale and zero point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.numerics import QParams, QType
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.observers import Histogram, observed_range

__all__ = ["SMALLEST_SCALE", "activation_params", "activation_type", "where_it_varies"]

_PLACES = 4097  # at which a function is looked at
SMALLEST_SCALE = 2.0**-126  # the smallest float32 of full precision


def activation_type(requested: QType, minimum: float, dictated: bool) -> QType:
    """The type that fits the sign of the tensor.

    1 bit: u1 = {0, 1} where nothing is negative, else b1 = {-1, +1}; the other choice would be
    (nearly) constant.  ``dictated`` scales (fixed point, global) are symmetric: u<n> becomes i<n>.
    """
    if requested.bits == 1:
        return QType(1, False) if minimum >= 0 else QType(1, True, True)
    return QType(requested.bits, True) if dictated else requested


def where_it_varies(function: Callable[[np.ndarray], np.ndarray], seen: Histogram, levels: int) -> tuple[float, float]:
    """The narrowest (a, b) within what was seen outside which ``function`` is all but constant: it stays within an eighth of a
    step of f(a) below a, of f(b) above b, where a step is the range of its results for what was seen, over ``levels``.  (A
    hardswish is 0 below -3, a sigmoid within 1/2040 of 0 below -7.6.)  All that was seen where it varies nowhere."""
    lo, hi = seen.minimum, seen.maximum
    results = np.asarray(function(np.append(seen.centers[seen.counts > 0].clip(lo, hi), (lo, hi))), np.float64)
    step = (results.max() - results.min()) / levels
    if not 0 < step < np.inf:
        return lo, hi
    x = np.linspace(lo, hi, _PLACES)
    y = np.asarray(function(x), np.float64)

    def end(y: np.ndarray) -> int:
        """The last place from which all places before it are within an eighth of a step; poles are not."""
        with np.errstate(invalid="ignore"):
            near = np.maximum(np.maximum.accumulate(y) - y, y - np.minimum.accumulate(y)) <= step / 8
        return len(y) - 1 if near.all() else max(int(np.argmin(near)) - 1, 0)

    a, b = end(y), len(y) - 1 - end(y[::-1])
    return (float(x[a]), float(x[b])) if a < b else (lo, hi)


def activation_params(
    seen: Histogram, requested: QType, config: QuantizationConfig, read_by: Callable[[np.ndarray], np.ndarray] | None = None
) -> QParams:
    """QParams of a tensor with this histogram.  ``read_by``: the function that alone reads it, if there is one: its range ends
    where that is flat (:func:`where_it_varies`).

    Unsigned: scale = (hi - lo) / qmax, zero_point = rint(-lo / scale), which is 0 where lo is 0.
    Signed: scale = max(|lo|, |hi|) / qmax, zero_point 0.  b1: scale = max(|lo|, |hi|), its two values.
    A tensor that was 0 throughout has scale 1.  16 bits always cover the whole range.
    """
    dictated = config.scale.dictated(requested.bits)
    qtype = activation_type(requested, seen.minimum, dictated is not None)
    container = max(config.activation_container or 0, qtype.bits)
    if dictated is not None:
        return QParams(qtype, np.asarray(dictated), container=container)
    if read_by is not None and not qtype.bipolar and seen.minimum < seen.maximum:
        seen = seen.within(*where_it_varies(read_by, seen, qtype.qmax - qtype.qmin))
    observer = "minmax" if qtype.bits == 16 else config.observer
    lo, hi = observed_range(seen, qtype, observer, config.percentile)
    reach = max(-lo, hi) if qtype.signed else hi - lo
    scale = max(reach / qtype.qmax, SMALLEST_SCALE) if reach > 0 else 1.0
    scale = config.scale.rounded_up(scale)
    zero = 0 if qtype.signed else int(np.clip(np.rint(-lo / scale), 0, qtype.qmax))
    return QParams(qtype, np.asarray(scale), zero, container=container)
