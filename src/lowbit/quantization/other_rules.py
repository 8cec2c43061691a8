"""Everything but conv2d and linear: tables, multipliers, selections."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Node
from lowbit.graph.ops import apply_unary
from lowbit.numerics import QParams, QType, quantize
from lowbit.quantization.activations import SMALLEST_SCALE
from lowbit.quantization.draft import Draft, clamp_bounds

__all__ = ["affine", "binary", "clamped", "concat", "select", "softmax", "unary"]

_I16 = QType(16, True)


def _output(draft: Draft, node: Node) -> QParams:
    params = draft.params[node.name]
    if params is None:
        raise UnsupportedOperation(f"{node.name} ({node.op}): has no float32 form inside an integer network")
    return params


def clamped(draft: Draft, node: Node) -> None:
    """clamp and avg_pool2d: one operand, clamped to qlo..qhi."""
    name, _ = draft.operand(node, 0)
    out = _output(draft, node)
    draft.emit(replace(node, inputs=(name,), attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def select(draft: Draft, node: Node) -> None:
    """Operations that only move values keep what they get: integers or float32."""
    name = node.inputs[0]
    draft.emit(replace(node, inputs=(draft.renamed.get(name, name),)), draft.params[node.name])


def _constant(draft: Draft, node: Node, index: int) -> str:
    """A constant operand as symmetric i16: its rounding error is 2^-16 of its range."""
    values = draft.source.constants[node.inputs[index]]
    reach = float(np.abs(values).max(initial=0))
    params = QParams(_I16, np.asarray(max(reach / _I16.qmax, SMALLEST_SCALE) if reach else 1.0))
    return draft.constant(node.inputs[index], quantize(values, params), params)


def binary(draft: Draft, node: Node) -> None:
    """add, sub, mul of two activations, or of one and a constant."""
    inputs = [
        _constant(draft, node, i) if name in draft.source.constants else draft.operand(node, i)[0]
        for i, name in enumerate(node.inputs)
    ]
    out = _output(draft, node)
    draft.emit(replace(node, inputs=tuple(inputs), attrs={**node.attrs, **clamp_bounds(node, out)}), out)


def concat(draft: Draft, node: Node) -> None:
    """Constants go straight to the output's grid; activations are rescaled where theirs differs."""
    out = _output(draft, node)
    inputs = [
        draft.constant(name, quantize(draft.source.constants[name], out), out)
        if name in draft.source.constants
        else draft.operand(node, i)[0]
        for i, name in enumerate(node.inputs)
    ]
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


def _values(params: QParams) -> np.ndarray:
    """Every value of the type, in order, as float64 reals."""
    qtype = params.qtype
    q = np.array([-1, 1]) if qtype.bipolar else np.arange(qtype.qmin, qtype.qmax + 1)
    return float(params.scale) * (q - params.zero_point)


def unary(draft: Draft, node: Node) -> None:
    """table[q] = clamp(rint(fn(scale * (q - zero_point)) / s_out) + z_out), in float64; NaN (outside the
    function's domain) gives qmin.  A last function's table holds float32."""
    name, x = draft.operand(node, 0)
    out = draft.params[node.name]
    extra = {key: value for key, value in node.attrs.items() if key != "fn"}
    y = apply_unary(node.attrs["fn"], _values(x), **extra)
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
    out = draft.params[node.name]
    channels = draft.source.types[node.name].shape[node.attrs["axis"]]
    k = 30 - math.ceil(math.log2(channels))
    distances = np.arange(x.qtype.qmax - x.qtype.qmin + 1)
    table = np.rint(2.0**k * np.exp(-float(x.scale) * distances)).astype(np.int32)
    bounds = {} if out is None else clamp_bounds(node, out)
    inputs = (name, draft.constant(f"{node.name}.table", table))
    draft.emit(replace(node, inputs=inputs, attrs={**node.attrs, **bounds}), out)
