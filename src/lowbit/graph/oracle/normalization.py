"""Normalisation by statistics of the values themselves, on integers."""

from __future__ import annotations

import numpy as np

from lowbit.graph.ir import Node, TensorType
from lowbit.graph.oracle.result import offsets, params_of, per_channel, to_integers
from lowbit.graph.powers import STEPS, power_of
from lowbit.numerics import multiplier

__all__ = ["normalize", "regions", "response_norm"]


def regions(x: np.ndarray, node: Node) -> tuple[np.ndarray, tuple[int, ...]]:
    """``x`` with its axis split into (groups, channels of a group), and the axes over which statistics are taken."""
    axis, groups = node.attrs["axis"], node.attrs["groups"]
    split = x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    over = range(axis + 1, split.ndim) if node.attrs["spatial"] else (axis + 1,)
    return split, tuple(over)


def normalize(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """Sums, the whole part of the mean and what is left of it: exact integers.  The variance: float64, every step rounded once.
    Its reciprocal root: rounded to float32.  Then three float32 steps a value (docs/numerics.md)."""
    x = params_of(types[0])
    attrs, rank = node.attrs, values[0].ndim
    v, over = regions(offsets(values[0], x).astype(np.int64), node)
    n = int(np.prod([v.shape[d] for d in over]))
    s1, s2 = v.sum(over, keepdims=True), (v * v).sum(over, keepdims=True)
    whole = s1 // n if attrs["centred"] else np.zeros_like(s1)
    rest = s1 - n * whole if attrs["centred"] else np.zeros_like(s1)
    squares = s2 - 2 * whole * s1 + n * whole * whole
    real = rest.astype(np.float64)
    variance = squares.astype(np.float64) - real * real / np.float64(n)
    scale = np.float64(x.scale)
    spread = np.where(variance > 0, variance / np.float64(n) if attrs["mean"] else variance, 1.0)
    root = np.sqrt(spread + np.float64(attrs["eps"]) / (scale * scale))
    inverse = (1.0 / np.maximum(root, np.float64(attrs["floor"]) / scale)).astype(np.float32)
    inverse = np.where(variance > 0, inverse, np.float32(0))
    part = (real / np.float64(n)).astype(np.float32)
    moved = ((v - whole).astype(np.float32) - part).reshape(values[0].shape)
    weight, bias = (per_channel(value, rank, attrs["axis"]) for value in values[1:])
    factor = np.broadcast_to(inverse, v.shape).reshape(moved.shape) * weight
    return to_integers(moved * factor + bias, node, out)


def response_norm(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """acc = sum v^2 over a window of channels, exact; base = k + float64(alpha / size * s_x^2) acc; f = (v * inv) * m with
    inv = f32(1 / base^beta), float64 products and square roots (graph/powers.py), m = f32(s_x / s_out)."""
    x, attrs = params_of(types[0]), node.attrs
    v = offsets(values[0], x).astype(np.int64)
    size, channels = attrs["size"], v.shape[1]
    squares = np.pad(v * v, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    acc = np.zeros_like(v)
    for place in range(size):
        acc += squares[:, place : place + channels]
    scale = np.float64(x.scale)
    base = np.float64(attrs["k"]) + np.float64(attrs["alpha"]) / size * (scale * scale) * acc.astype(np.float64)
    inverse = (1.0 / power_of(base, round(attrs["beta"] * STEPS))).astype(np.float32)
    return to_integers((v.astype(np.float32) * inverse) * multiplier(scale, params_of(out).scale), node, out)
