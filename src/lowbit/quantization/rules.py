"""One function an operation: its node in the integer graph, and what follows from the chosen numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lowbit.errors import NumericsError
from lowbit.graph import Node
from lowbit.graph.unary import function_of
from lowbit.numerics import QParams
from lowbit.quantization.choice import bias_type, output_params
from lowbit.quantization.draft import Draft, clamp_bounds

__all__ = ["affine", "clamped", "layer", "made_real", "normalize", "operands", "rounded", "select", "softmax", "unary"]


def _output(draft: Draft, node: Node) -> QParams:
    return output_params(draft.choice.values, node)


def layer(draft: Draft, node: Node) -> None:
    """conv2d and linear: weights and bias as chosen; the bias in int64 next to 16-bit operands, else in int32."""
    x_name, x = draft.operand(node, 0)
    numbers = draft.choice.layers[node.name]
    has_residual = bool(node.attrs.get("residual"))
    has_bias = len(node.inputs) > 2 + has_residual
    dtype = bias_type(x, numbers.weights.params)
    bias = np.asarray(numbers.bias)
    if not np.array_equal(bias.astype(dtype), bias):
        raise NumericsError(f"{node.name} ({node.op}): a bias of {np.abs(bias).max()} does not fit {dtype}")
    inputs = [
        x_name,
        draft.constant(node.inputs[1], numbers.weights.integers, numbers.weights.params),
        draft.constant(node.inputs[2] if has_bias else f"{node.name}.bias", bias.astype(dtype)),
    ]
    if has_residual:
        inputs.append(draft.operand(node, len(node.inputs) - 1)[0])
    out = draft.choice.values[node.name]
    bounds = {} if out is None else clamp_bounds(node, out)
    draft.emit(replace(node, inputs=tuple(inputs), attrs={**node.attrs, **bounds}), out)


def clamped(draft: Draft, node: Node) -> None:
    """clamp, avg_pool2d, norm_pool2d, response_norm and resize: one operand, clamped to qlo..qhi."""
    name, _ = draft.operand(node, 0)
    out = _output(draft, node)
    draft.emit(replace(node, inputs=(name,), attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def select(draft: Draft, node: Node) -> None:
    """Operations that only move values keep what they get, integers or float32; positions are those of either."""
    name = node.inputs[0]
    draft.emit(replace(node, inputs=(draft.renamed.get(name, name),)), draft.choice.values[node.name])


def rounded(draft: Draft, node: Node) -> None:
    """quantize of a float32 value."""
    draft.emit(node, _output(draft, node))


def made_real(draft: Draft, node: Node) -> None:
    """dequantize of an integer value that float32 operations read."""
    draft.emit(replace(node, inputs=(draft.operand(node, 0)[0],)), None)


def operands(draft: Draft, node: Node) -> None:
    """Binary operations and concat: activations and constants, each on a grid of its own."""
    inputs = []
    for i, name in enumerate(node.inputs):
        chosen = draft.choice.operands.get((node.name, i))
        inputs.append(draft.operand(node, i)[0] if chosen is None else draft.constant(name, chosen.integers, chosen.params))
    out = _output(draft, node)
    draft.emit(replace(node, inputs=tuple(inputs), attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def affine(draft: Draft, node: Node) -> None:
    """y = scale * x + shift in units of s_out: f32(s_x * scale / s_out) and f32(shift / s_out)."""
    name, x = draft.operand(node, 0)
    out = _output(draft, node)
    s_out = out.scale.astype(np.float64)
    scale, shift = (draft.source.constants[n].astype(np.float64) for n in node.inputs[1:])
    inputs = (
        name,
        draft.constant(node.inputs[1], (x.scale.astype(np.float64) * scale / s_out).astype(np.float32)),
        draft.constant(node.inputs[2], (shift / s_out).astype(np.float32)),
    )
    draft.emit(replace(node, inputs=inputs, attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def normalize(draft: Draft, node: Node) -> None:
    """Weight and bias in units of s_out: f32(weight / s_out), f32(bias / s_out)."""
    name, _ = draft.operand(node, 0)
    out = _output(draft, node)
    s_out = out.scale.astype(np.float64)
    given = (draft.source.constants[n].astype(np.float64) for n in node.inputs[1:])
    constants = (draft.constant(n, (v / s_out).astype(np.float32)) for n, v in zip(node.inputs[1:], given, strict=True))
    draft.emit(replace(node, inputs=(name, *constants), attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def _values(params: QParams) -> np.ndarray:
    """Every value of the type, in order, as float64 reals."""
    qtype = params.qtype
    q = np.array([-1, 1]) if qtype.bipolar else np.arange(qtype.qmin, qtype.qmax + 1)
    return float(params.scale) * (q - params.zero_point)


def unary(draft: Draft, node: Node) -> None:
    """table[q] = clamp(rint(fn(scale * (q - zero_point)) / s_out) + z_out), in float64; NaN (outside the
    function's domain) gives qmin.  A last function's table holds float32."""
    name, x = draft.operand(node, 0)
    out = draft.choice.values[node.name]
    y = function_of(node.attrs)(_values(x))
    if out is None:
        table = y.astype(np.float32)
    elif out.qtype.bipolar:
        table = np.where(y >= 0, 1, -1).astype(np.int8)
    else:
        steps = np.rint(y / float(out.scale)) + out.zero_point
        steps = np.where(np.isnan(steps), out.qtype.qmin, np.clip(steps, out.qtype.qmin, out.qtype.qmax))
        table = steps.astype(out.qtype.dtype)
    draft.emit(replace(node, inputs=(name, draft.constant(f"{node.name}.table", table))), out)


def softmax(draft: Draft, node: Node) -> None:
    """table[d] = rint(2^k * exp(-scale * d)) for d = max q - q; k = 30 - ceil(log2(C)), so that the sum of
    C entries is at most 2^30."""
    name, x = draft.operand(node, 0)
    out = draft.choice.values[node.name]
    channels = draft.source.types[node.name].shape[node.attrs["axis"]]
    k = 30 - math.ceil(math.log2(channels))
    distances = np.arange(x.qtype.qmax - x.qtype.qmin + 1)
    table = np.rint(2.0**k * np.exp(-float(x.scale) * distances)).astype(np.int32)
    bounds = {} if out is None else clamp_bounds(node, out)
    inputs = (name, draft.constant(f"{node.name}.table", table))
    draft.emit(replace(node, inputs=inputs, attrs={**node.attrs, **bounds}), out)
