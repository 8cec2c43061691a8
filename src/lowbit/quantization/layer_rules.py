"""conv2d and linear become integer layers: weights, bias, and the proof that nothing overflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import NumericsError
from lowbit.graph import Node
from lowbit.numerics import QParams, QType
from lowbit.quantization.draft import Draft, clamp_bounds
from lowbit.quantization.weights import quantize_weights, round_weights

__all__ = ["integer_layer", "quantize_parameters"]


def integer_layer(draft: Draft, node: Node) -> None:
    x_name, x = draft.operand(node, 0)
    precision = draft.plan.layers[node.name]
    w = draft.source.constants[node.inputs[1]]
    has_residual = bool(node.attrs.get("residual"))
    has_bias = len(node.inputs) > 2 + has_residual
    bias = draft.source.constants[node.inputs[2]] if has_bias else np.zeros(len(w), np.float32)
    try:
        q, params, q_bias = quantize_parameters(draft, w, bias, x, precision.weights or draft.config.weights, precision.container)
    except NumericsError as error:
        raise NumericsError(f"{node.name} ({node.op}): {error}") from None
    weight_name = draft.constant(node.inputs[1], q, params)
    bias_name = draft.constant(node.inputs[2] if has_bias else f"{node.name}.bias", q_bias)
    inputs = [x_name, weight_name, bias_name]
    if has_residual:
        inputs.append(draft.operand(node, len(node.inputs) - 1)[0])
    out = draft.params[node.name]
    bounds = {} if out is None else clamp_bounds(node, out)
    draft.emit(replace(node, inputs=tuple(inputs), attrs={**node.attrs, **bounds}), out)


def quantize_parameters(
    draft: Draft, w: np.ndarray, bias: np.ndarray, x: QParams, qtype: QType, container: int | None
) -> tuple[np.ndarray, QParams, np.ndarray]:
    """(integer weights, their QParams, integer bias at scale s_x * s_w[c]).

    Bound (operands up to 8 bits): with |q_x - z_x| <= qmax - qmin, also in the stored form,
    (qmax - qmin) * sum |w| + |bias| < 2^31 and |bias| <= 2^30 for every channel, so that int32 holds
    every partial sum in any order.  A channel that breaks it gets its scale doubled, and its weights
    rounded anew, until it holds: all |q| shrink, down to 0.  For b1 weights, which do not shrink,
    only the bias can be brought down, and a sum of 2^30 needs more than 2^22 inputs: an error.
    Wider operands: the same with 2^53 and 2^52 (int64 bias), exact in int64 and in float64.
    """
    if not np.isfinite(bias).all():
        raise NumericsError("the bias is NaN or infinite")
    q, params = quantize_weights(w, qtype, container, draft.config)
    span = 2 if x.qtype.bipolar else x.qtype.qmax - x.qtype.qmin
    wide = max(x.qtype.bits, qtype.bits) > 8
    limit = 2**52 if wide else 2**30
    while True:
        magnitudes = np.abs(q.astype(np.float64)).reshape(len(q), q.shape[1], -1).sum(2)
        if params.group_scale is not None and params.group_size:
            magnitudes = magnitudes * params.group_scale[:, np.arange(q.shape[1]) // params.group_size]
        sums = span * magnitudes.sum(1)
        unit = x.scale.astype(np.float64) * params.scale.astype(np.float64)
        steps = np.rint(bias.astype(np.float64) / unit)
        over = (np.abs(steps) > limit) | (sums >= limit)
        if not over.any():
            return q, params, steps.astype(np.int64 if wide else np.int32)
        if qtype.bipolar and (sums >= limit).any():
            raise NumericsError(f"{w[0].size} products per output can overflow the accumulator")
        params = replace(params, scale=np.where(over, 2 * params.scale, params.scale))
        q = np.where(over.reshape((-1,) + (1,) * (q.ndim - 1)), round_weights(w, params), q)
