"""The integers of conv2d and linear: weights and bias, coarse enough that no sum overflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import NumericsError
from lowbit.numerics import QParams, QType, dequantize
from lowbit.numerics.groups import group_factor
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.weights import SMALLEST_WEIGHT_SCALE, quantize_weights, round_weights

__all__ = ["quantize_parameters"]


def quantize_parameters(
    config: QuantizationConfig,
    w: np.ndarray,
    bias: np.ndarray,
    x: QParams,
    qtype: QType,
    container: int | None,
    means: np.ndarray | None = None,
) -> tuple[np.ndarray, QParams, np.ndarray]:
    """(integer weights, their QParams, integer bias at scale s_x * s_w[c]).

    With ``means`` (of the layer's input channels) the bias takes up what rounding the weights adds to
    the mean of each output: bias[c] - sum_k (scale[c] * q[c, k] - w[c, k]) * E[x_k] (Nagel et al. 2019,
    section 4.2; the zeros of the padding are not counted).

    Bound (operands up to 8 bits): with |q_x - z_x| <= qmax - qmin, also in the stored form,
    (qmax - qmin) * sum |w| + |bias| < 2^31 and |bias| <= 2^30 for every channel, so that int32 holds
    every partial sum in any order.  A channel that breaks it gets its scale doubled, and its weights
    rounded anew, until it holds: all |q| shrink, down to 0.  For b1 weights, which do not shrink,
    only the bias can be brought down, and a sum of 2^30 needs more than 2^22 inputs: an error.
    Wider operands: the same with 2^53 and 2^52 (int64 bias), exact in int64 and in float64.
    """
    if not np.isfinite(bias).all():
        raise NumericsError("the bias is NaN or infinite")
    q, params = quantize_weights(w, qtype, container, config)
    if config.scale.dictated(qtype.bits) is None:
        q, params = _with_room(w, q, params, bias, x)
    span = 2 if x.qtype.bipolar else x.qtype.qmax - x.qtype.qmin
    wide = max(x.qtype.bits, qtype.bits) > 8
    limit = 2**52 if wide else 2**30
    for _ in range(_DOUBLINGS):
        magnitudes = np.abs(q.astype(np.float64)).reshape(len(q), q.shape[1], -1).sum(2)
        factor = group_factor(params, magnitudes.shape)
        sums = span * (magnitudes if factor is None else magnitudes * factor).sum(1)
        unit = x.scale.astype(np.float64) * params.scale.astype(np.float64)
        shift = 0.0 if means is None else _mean_error(w, q, params, means)
        steps = np.rint((bias.astype(np.float64) - shift) / unit)
        over = (np.abs(steps) > limit) | (sums >= limit)
        if not over.any():
            return q, params, steps.astype(np.int64 if wide else np.int32)
        if qtype.bipolar and (sums >= limit).any():
            raise NumericsError(f"{w[0].size} products per output can overflow the accumulator")
        params = replace(params, scale=np.where(over, 2 * params.scale, params.scale))
        q = np.where(over.reshape((-1,) + (1,) * (q.ndim - 1)), round_weights(w, params), q)
    raise NumericsError(f"sums of up to {sums.max():.4g} and biases of up to {np.abs(steps).max():.4g} fit at no scale")


_DOUBLINGS = 256  # from the smallest float32 to the largest
_LEAST_UNIT = 2.0**-140  # of an accumulator: float32 still has nine bits there
_FINE = 2.0**-20


def _with_room(w: np.ndarray, q: np.ndarray, params: QParams, bias: np.ndarray, x: QParams) -> tuple[np.ndarray, QParams]:
    """Scales that do not vanish once they are multiplied by s_x, and in channels whose weights are all 0 do not swallow the
    bias either: s_x * s_w >= 2^-140, and there <= |bias| * 2^-20 (2^-28 then)."""
    s_x, scale = float(x.scale), params.scale.astype(np.float64)
    size = np.abs(bias.astype(np.float64))
    swallowed = ~q.reshape(len(q), -1).any(1) & (s_x * scale > size * _FINE) & (size > 0)
    wanted = np.where(swallowed, size * 2.0**-28 / s_x, scale)
    wanted = np.maximum(wanted, max(_LEAST_UNIT / s_x, SMALLEST_WEIGHT_SCALE)).astype(np.float32)
    if np.array_equal(wanted, params.scale):
        return q, params
    params = replace(params, scale=wanted)
    return round_weights(w, params), params


def _mean_error(w: np.ndarray, q: np.ndarray, params: QParams, means: np.ndarray) -> np.ndarray:
    """sum_k (dequantize(q)[c, k] - w[c, k]) * E[x_k] per output channel; ``means`` covers all groups."""
    error = (dequantize(q, params).astype(np.float64) - w).reshape(*w.shape[:2], -1).sum(2)
    groups = len(means) // w.shape[1]
    per_output = np.repeat(means.reshape(groups, w.shape[1]), len(w) // groups, axis=0)
    return (error * per_output).sum(1)
