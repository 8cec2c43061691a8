"""conv2d and linear on integers."""

from __future__ import annotations

import numpy as np

from lowbit.graph.ir import Node, TensorType
from lowbit.graph.oracle.exact import exact_conv2d, exact_linear
from lowbit.graph.oracle.result import clamp_float, offsets, params_of, per_channel, to_integers
from lowbit.numerics import multiplier, quantize
from lowbit.numerics.groups import group_factor

__all__ = ["effective_weights", "layer", "matmul"]


def effective_weights(w: np.ndarray, tensor: TensorType) -> np.ndarray:
    """Integer weights with the integer scale of their group multiplied in: q * group_scale[c, ic // size]."""
    factor = group_factor(params_of(tensor), w.shape)
    return w if factor is None else w * factor


def layer(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """acc = sum (q_x - z_x) * w + bias, exact; f = f32(acc) * m[c] (+ f32(q_r - z_r) * m_r), each
    operation rounded once to float32; integers: clamp(rint(f) + z_out, qlo, qhi); float32: f, clamped."""
    x, weight = params_of(types[0]), params_of(types[1])
    operand, w, bias = offsets(values[0], x), effective_weights(values[1], types[1]), values[2]
    if node.op == "conv2d":
        a = node.attrs
        zero = int(quantize(np.float32(0), x)) - x.zero_point
        acc = exact_conv2d(operand, w, bias, a["stride"], a["padding"], a["dilation"], a["groups"], zero)
    else:
        acc = exact_linear(operand, w, bias)
    scale_out = 1.0 if out.quant is None else out.quant.scale
    axis = 1 if node.op == "conv2d" else acc.ndim - 1
    factor = multiplier(x.scale.astype(np.float64) * weight.scale.astype(np.float64), scale_out)
    f = acc.astype(np.float32) * per_channel(factor, acc.ndim, axis)
    if node.attrs.get("residual"):
        r = params_of(types[-1])
        f = f + offsets(values[-1], r).astype(np.float32) * multiplier(r.scale, scale_out)
    return clamp_float(f, node) if out.quant is None else to_integers(f, node, out)


def matmul(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """acc = sum over k of (q_x - z_x)(q_y - z_y), exact; f = f32(acc) * m, m = f32(s_x * s_y * factor / s_out)."""
    x, y = params_of(types[0]), params_of(types[1])
    left, right = offsets(values[0], x).astype(np.int64), offsets(values[1], y).astype(np.int64)
    right = right.transpose(0, 2, 1) if node.attrs["transposed"] else right
    largest = int(np.abs(left).max(initial=0)) * int(np.abs(right).max(initial=0)) * left.shape[2]
    exact = np.float64 if largest < 2**53 else np.int64
    acc = left.astype(exact) @ right.astype(exact)
    scale = x.scale.astype(np.float64) * y.scale.astype(np.float64) * np.float64(node.attrs["factor"])
    return to_integers(acc.astype(np.float32) * multiplier(scale, params_of(out).scale), node, out)
