"""Pools and the operations that only move values."""

from __future__ import annotations

import numpy as np

from lowbit.graph.fixed_point import fraction_bits, starts_of, whole_weights
from lowbit.graph.ir import Node, TensorType
from lowbit.graph.oracle.result import offsets, params_of, to_integers
from lowbit.numerics import multiplier, quantize

__all__ = [
    "argmax",
    "avg_pool2d",
    "expand",
    "interleave",
    "max_pool2d",
    "min_pool2d",
    "norm_pool2d",
    "pad",
    "permute",
    "reshape",
    "resize",
    "slice_",
    "take",
]


def _windows(x: np.ndarray, node: Node, reduce: np.ufunc) -> np.ndarray:
    """Reduces x (NCHW) over windows x columns, rows first; both are half-open ranges."""
    rows = np.stack([reduce.reduce(x[:, :, a:b], axis=2) for a, b in node.attrs["windows"]], axis=2)
    return np.stack([reduce.reduce(rows[..., a:b], axis=3) for a, b in node.attrs["columns"]], axis=3)


def max_pool2d(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return _windows(values[0], node, np.maximum)


def min_pool2d(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return _windows(values[0], node, np.minimum)


def norm_pool2d(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """f = f32(sqrt(f64(sum (q - z)^2))) * m, m = f32(s_x / s_out)."""
    x = params_of(types[0])
    acc = _windows(offsets(values[0], x).astype(np.int64) ** 2, node, np.add)
    root = np.sqrt(acc.astype(np.float64)).astype(np.float32)
    return to_integers(root * multiplier(x.scale, params_of(out).scale), node, out)


def argmax(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """The first position of the largest (``least``: smallest) value along an axis, int64; of floats the first NaN's."""
    find = np.argmin if node.attrs["least"] else np.argmax
    return np.asarray(find(values[0], node.attrs["axis"]), np.int64)


def avg_pool2d(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """f = f32(sum (q - z)) * m[pos], m = f32(s_x / (s_out * divisor[pos]))."""
    x = params_of(types[0])
    acc = _windows(offsets(values[0], x).astype(np.int64), node, np.add)
    divisors = np.asarray(node.attrs["divisors"], np.float64).reshape(acc.shape[2:])
    factor = multiplier(x.scale, params_of(out).scale.astype(np.float64) * divisors)
    return to_integers(acc.astype(np.float32) * factor, node, out)


def resize(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """f = f32(sum row[i, a] column[j, b] (q - z)) * m, weights whole numbers of 2^-B, m = f32(s_x / (s_out 2^2B))."""
    x = params_of(types[0])
    bits = fraction_bits(x.qtype)
    acc = offsets(values[0], x).astype(np.int64)
    for axis, taps in ((2, node.attrs["rows"]), (3, node.attrs["columns"])):
        starts, weights = starts_of(taps), whole_weights(taps, bits)
        shape = [-1 if d == axis else 1 for d in range(4)]
        parts = [acc.take(starts + k, axis) * weights[:, k].reshape(shape) for k in range(weights.shape[1])]
        acc = np.sum(parts, axis=0)
    factor = multiplier(x.scale, params_of(out).scale.astype(np.float64) * 2.0 ** (2 * bits))
    return to_integers(acc.astype(np.float32) * factor, node, out)


def expand(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(values[0], node.attrs["shape"]))


def reshape(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return values[0].reshape(node.attrs["shape"])


def permute(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    return np.asarray(values[0].transpose(node.attrs["dims"]), order="C")


def slice_(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    starts, steps = node.attrs["starts"], node.attrs["steps"]
    index = tuple(slice(a, a + (n - 1) * s + 1, s) for a, s, n in zip(starts, steps, out.shape, strict=True))
    return np.asarray(values[0][index], order="C")


def take(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """y[i, j, ...] = x[indices[0][i], indices[1][j], ...], i itself where the axis has no list."""
    value = values[0]
    for axis, chosen in enumerate(node.attrs["indices"]):
        if chosen is not None:
            value = value.take(np.asarray(chosen, np.int64), axis)
    return np.asarray(value, order="C")


def interleave(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    """y[n, (g, o), i, j] = x[n, (g, a, b, o), r, c] with (a, r) = rows[i], (b, c) = columns[j]."""
    (x,), (ph, pw) = values, node.attrs["phases"]
    n, _, h, w = x.shape
    held = x.reshape(n, node.attrs["groups"], ph, pw, -1, h, w)
    (a, r), (b, c) = (np.array(node.attrs[axis], np.int64).T for axis in ("rows", "columns"))
    rows = held[:, :, a, :, :, r]  # row, n, g, b, o, column
    return np.asarray(rows[:, :, :, b, :, c].transpose(2, 3, 4, 1, 0), order="C").reshape(out.shape)


def pad(node: Node, values: list[np.ndarray], types: list[TensorType], out: TensorType) -> np.ndarray:
    value = np.float32(node.attrs["value"])
    widths = list(zip(node.attrs["before"], node.attrs["after"], strict=True))
    return np.pad(values[0], widths, constant_values=value if out.quant is None else quantize(value, out.quant))
