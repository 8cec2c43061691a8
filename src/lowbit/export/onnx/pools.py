"""Pools: explicit windows as MaxPool and AveragePool where they are regular, else axis by axis as slices that are reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit.export.onnx.writer import Writer
from lowbit.graph import Node

__all__ = ["average", "largest", "regular", "smallest"]

Ranges = Sequence[tuple[int, int]]


def regular(ranges: Ranges, size: int) -> tuple[int, int, int, int] | None:
    """(kernel, stride, padding in front, behind) of windows k * stride - before, ... + kernel, cut to [0, size); None for others,
    and for ones that leave elements at the end unread."""
    kernel = max(stop - start for start, stop in ranges)
    strides = {ranges[-1][0] - ranges[-2][0], ranges[1][1] - ranges[0][1]} if len(ranges) > 1 else {max(size, 1)}
    for stride in sorted(strides):
        for before in sorted({max(kernel - ranges[0][1], 0), 0}):
            starts = [index * stride - before for index in range(len(ranges))]
            cut = tuple((max(start, 0), min(start + kernel, size)) for start in starts)
            after = starts[-1] + kernel - size
            if stride > 0 and cut == tuple(map(tuple, ranges)) and after > -stride and before < kernel and after < kernel:
                return kernel, stride, before, max(after, 0)
    return None


def _whole(node: Node, shape: Sequence[int]) -> bool:
    return node.attrs["windows"] == ((0, shape[2]),) and node.attrs["columns"] == ((0, shape[3]),)


def _attributes(node: Node, shape: Sequence[int]) -> dict[str, Any] | None:
    rows, columns = regular(node.attrs["windows"], shape[2]), regular(node.attrs["columns"], shape[3])
    if rows is None or columns is None:
        return None
    kernel, strides, before, after = (list(pair) for pair in zip(rows, columns, strict=True))
    return {"kernel_shape": kernel, "strides": strides, "pads": [*before, *after]}


def _pieces(w: Writer, node: Node, x: str, op: str) -> str:
    """Each window of rows reduced by itself, then each of columns."""
    for axis, ranges in ((2, node.attrs["windows"]), (3, node.attrs["columns"])):
        parts = []
        for start, stop in ranges:
            ends = [w.ints(f"{node.name}.{what}", value) for what, value in (("start", start), ("stop", stop), ("axis", axis))]
            part = w.emit(node, "Slice", [x, *ends])
            parts.append(w.emit(node, op, [part, ends[2]], keepdims=1))
        x = parts[0] if len(parts) == 1 else w.emit(node, "Concat", parts, axis=axis)
    return x


def largest(w: Writer, node: Node, x: str) -> str:
    shape = w.graph.types[node.inputs[0]].shape
    if _whole(node, shape):
        return w.emit(node, "GlobalMaxPool", [x])
    attributes = _attributes(node, shape)
    return _pieces(w, node, x, "ReduceMax") if attributes is None else w.emit(node, "MaxPool", [x], **attributes)


def smallest(w: Writer, node: Node) -> str:
    """ReduceMin, or of regular windows -max(-x)."""
    x = w.real(node.inputs[0])
    attributes = _attributes(node, w.graph.types[node.inputs[0]].shape)
    if attributes is None:
        return _pieces(w, node, x, "ReduceMin")
    return w.emit(node, "Neg", [w.emit(node, "MaxPool", [w.emit(node, "Neg", [x])], **attributes)])


def average(w: Writer, node: Node) -> str:
    """Sums over divisors: averages of the windows, times area / divisor where that is not 1."""
    x, shape = w.real(node.inputs[0]), w.graph.types[node.inputs[0]].shape
    rows, columns = node.attrs["windows"], node.attrs["columns"]
    areas = np.array([[(b - a) * (d - c) for c, d in columns] for a, b in rows], np.float64)
    divisors = np.asarray(node.attrs["divisors"], np.float64).reshape(areas.shape)
    attributes = _attributes(node, shape)
    if _whole(node, shape):
        y = w.emit(node, "GlobalAveragePool", [x])
    elif attributes is not None:
        counted = not (areas == divisors).all()
        y = w.emit(node, "AveragePool", [x], **attributes, count_include_pad=int(counted))
        areas = np.full_like(areas, np.prod(attributes["kernel_shape"])) if counted else areas
    else:
        y, areas = _pieces(w, node, x, "ReduceSum"), np.ones_like(areas)
    factor = areas / divisors
    return y if (factor == 1).all() else w.emit(node, "Mul", [y, w.floats(f"{node.name}.factor", factor)])
