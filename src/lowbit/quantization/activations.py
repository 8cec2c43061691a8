"""From the range of a tensor to its scale and zero point."""

from __future__ import annotations

import numpy as np

from lowbit.numerics import QParams, QType
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.observers import Histogram, observed_range

__all__ = ["SMALLEST_SCALE", "activation_params", "activation_type"]

SMALLEST_SCALE = 2.0**-126  # the smallest float32 of full precision


def activation_type(requested: QType, minimum: float, dictated: bool) -> QType:
    """The type that fits the sign of the tensor.

    1 bit: u1 = {0, 1} where nothing is negative, else b1 = {-1, +1}; the other choice would be
    (nearly) constant.  ``dictated`` scales (fixed point, global) are symmetric: u<n> becomes i<n>.
    """
    if requested.bits == 1:
        return QType(1, False) if minimum >= 0 else QType(1, True, True)
    return QType(requested.bits, True) if dictated else requested


def activation_params(seen: Histogram, requested: QType, config: QuantizationConfig) -> QParams:
    """QParams of a tensor with this histogram.

    Unsigned: scale = (hi - lo) / qmax, zero_point = rint(-lo / scale), which is 0 where lo is 0.
    Signed: scale = max(|lo|, |hi|) / qmax, zero_point 0.  b1: scale = max(|lo|, |hi|), its two values.
    A tensor that was 0 throughout has scale 1.  16 bits always cover the whole range.
    """
    dictated = config.scale.dictated(requested.bits)
    qtype = activation_type(requested, seen.minimum, dictated is not None)
    container = max(config.activation_container or 0, qtype.bits)
    if dictated is not None:
        return QParams(qtype, np.asarray(dictated), container=container)
    observer = "minmax" if qtype.bits == 16 else config.observer
    lo, hi = observed_range(seen, qtype, observer, config.percentile)
    reach = max(-lo, hi) if qtype.signed else hi - lo
    scale = max(reach / qtype.qmax, SMALLEST_SCALE) if reach > 0 else 1.0
    scale = config.scale.rounded_up(scale)
    zero = 0 if qtype.signed else int(np.clip(np.rint(-lo / scale), 0, qtype.qmax))
    return QParams(qtype, np.asarray(scale), zero, container=container)
