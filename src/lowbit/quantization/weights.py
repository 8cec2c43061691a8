"""Integer weights: scales per output channel (or group), and rounding to nearest."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.numerics import QParams, QType
from lowbit.numerics.groups import group_factor
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.granularity import PerGroup, PerTensor
from lowbit.quantization.scales import PowerOfTwo

__all__ = ["SMALLEST_WEIGHT_SCALE", "ZERO_CHANNEL_SCALE", "levels", "quantize_weights", "round_weights"]

_SEARCHED = 4  # up to this width the scale is searched; above, min-max is as good
_STARTS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
_REFINEMENTS = 4
_CACHED = 1 << 15  # weights whose temporaries fit a level-2 cache
SMALLEST_WEIGHT_SCALE = 2.0**-126
"""The smallest number of full precision: weights below half of it count as 0."""
ZERO_CHANNEL_SCALE = 2.0**-40
"""Scale of a channel whose weights are all 0: small, so that its bias keeps its precision (the
overflow rule of the bias then raises it as far as needed), and so that b1, which has no 0, adds nothing."""


def levels(qtype: QType) -> tuple[int, int]:
    """-qmax..qmax where the scale comes from max|w|; all levels where it is searched: i2 thus
    chooses between {-1, 0, 1} and {-2 .. 1} by the scale."""
    return (qtype.qmin if qtype.bits <= _SEARCHED else -qtype.qmax), qtype.qmax


def _round(rows: np.ndarray, scale: np.ndarray, qtype: QType) -> np.ndarray:
    """(R, K) weights and (R,) scales -> integers as float32."""
    if qtype.bipolar:
        return np.where(rows >= 0, np.float32(1), np.float32(-1))
    return np.clip(np.rint(rows / scale[:, None]), *levels(qtype)).astype(np.float32)


def _error(rows: np.ndarray, scale: np.ndarray, qtype: QType) -> np.ndarray:
    return np.square(rows - _round(rows, scale, qtype) * scale[:, None]).sum(1)


def _searched_scale(rows: np.ndarray, largest: np.ndarray, qtype: QType) -> np.ndarray:
    """Scale of least squared error per row, a few rows at a time: the search passes over them many
    times, so they should stay in the cache."""
    step = max(1, _CACHED // rows.shape[1])
    parts = [_search(rows[i : i + step], largest[i : i + step], qtype) for i in range(0, len(rows), step)]
    return np.concatenate(parts)


def _search(rows: np.ndarray, largest: np.ndarray, qtype: QType) -> np.ndarray:
    """From several starts, round the weights to the scale, then take the least-squares scale of these
    integers, sum(w q) / sum(q^2), and again."""
    best = largest / qtype.qmax
    least = np.full(len(rows), np.inf)
    for start in _STARTS:
        scale = best if start == 1.0 else largest * np.float32(start) / max(qtype.qmax, 1)
        for _ in range(_REFINEMENTS):
            q = _round(rows, scale, qtype)
            error = np.square(rows - q * scale[:, None]).sum(1)
            better = error < least
            best, least = np.where(better, scale, best), np.where(better, error, least)
            power, product = np.square(q).sum(1), (rows * q).sum(1)
            scale = np.where((power > 0) & (product > 0), product / np.maximum(power, 1), scale).astype(np.float32)
    return best


def _scales(rows: np.ndarray, qtype: QType, config: QuantizationConfig) -> np.ndarray:
    """(R, K) weights -> (R,) float32 scales: mean|w| for b1 (Rastegari et al. 2016, eq. 6),
    least squared error up to 4 bits, max|w| / qmax above (so -qmax - 1 never occurs).

    Rows are first brought to 1 <= max|w| < 2, exactly, so that no square leaves float32 whatever their size."""
    dictated = config.scale.dictated(qtype.bits)
    if dictated is not None:
        return np.full(len(rows), dictated, np.float32)
    largest = np.abs(rows).max(1, initial=0)
    zero = largest < SMALLEST_WEIGHT_SCALE
    exponent = np.frexp(np.where(zero, np.float32(1), largest))[1] - 1
    rows = np.ldexp(rows, -exponent[:, None])
    largest = np.where(zero, np.float32(1), np.ldexp(largest, -exponent))
    if qtype.bipolar:
        scale = np.abs(rows).mean(1)
    elif qtype.bits <= _SEARCHED:
        scale = _searched_scale(rows, largest, qtype)
    else:
        scale = largest / np.float32(qtype.qmax)
    if isinstance(config.scale, PowerOfTwo):
        with np.errstate(divide="ignore"):
            below = np.exp2(np.floor(np.log2(np.where(zero, 1, scale)))).astype(np.float32)
        scale = np.where(_error(rows, below, qtype) < _error(rows, 2 * below, qtype), below, 2 * below)
    scale = np.maximum(np.ldexp(scale.astype(np.float32), exponent), np.float32(SMALLEST_WEIGHT_SCALE))
    return np.where(zero, np.float32(ZERO_CHANNEL_SCALE), scale).astype(np.float32)


def _grouped(w: np.ndarray, qtype: QType, config: QuantizationConfig, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two-level scales: (scale (O,), group_scale (O, G)) with scale * group_scale near each group's own.

    group_scale is at most floor(127 / max|q|), so that q * group_scale fits a byte.
    """
    groups = -(-w.shape[1] // size)
    most = 127 // max(-levels(qtype)[0], qtype.qmax)
    own = np.stack([_scales(w[:, g * size : (g + 1) * size].reshape(len(w), -1), qtype, config) for g in range(groups)], axis=1)
    scale = np.maximum(own.max(1) / np.float32(most), np.float32(SMALLEST_WEIGHT_SCALE))
    return scale, np.clip(np.rint(own / scale[:, None]), 1, most).astype(np.uint8)


def round_weights(w: np.ndarray, params: QParams) -> np.ndarray:
    """q = clamp(rint(w / scale)) to the levels of the type (b1: the sign), in the type's dtype."""
    factor = group_factor(params, w.shape)
    scale = params.scale.reshape((-1,) + (1,) * (w.ndim - 1)) * (1 if factor is None else factor.astype(np.float32))
    if params.qtype.bipolar:
        return np.where(w >= 0, 1, -1).astype(np.int8)
    return np.clip(np.rint(w / scale), *levels(params.qtype)).astype(params.qtype.dtype)


def quantize_weights(
    w: np.ndarray, qtype: QType, container: int | None, config: QuantizationConfig
) -> tuple[np.ndarray, QParams]:
    """float32 weights (O, I, ...) -> (integers of the same shape, their QParams along axis 0).

    per_tensor gives every channel the same scale; per_group applies up to 7 bits and where there is more
    than one group.  Raises NumericsError for weights that are not finite.
    """
    w = np.asarray(w, np.float32)
    if not np.isfinite(w).all():
        raise NumericsError(f"{np.count_nonzero(~np.isfinite(w))} of {w.size} weights are NaN or infinite")
    rows = w.reshape(len(w), -1)
    match config.granularity:
        case PerGroup(size) if qtype.bits <= 7 and size < w.shape[1]:
            scale, group_scale = _grouped(w, qtype, config, size)
            params = QParams(qtype, scale, 0, 0, container or 0, size, group_scale)
        case PerTensor():
            params = QParams(qtype, np.repeat(_scales(rows.reshape(1, -1), qtype, config), len(w)), 0, 0, container or 0)
        case _:
            params = QParams(qtype, _scales(rows, qtype, config), 0, 0, container or 0)
    return round_weights(w, params), params
