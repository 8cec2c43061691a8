"""Normalisations, lengths and products of activations in ONNX."""

from __future__ import annotations

import numpy as np

from lowbit.export.onnx.writer import Writer
from lowbit.graph import Node

__all__ = ["length", "normalize", "product", "response_norm"]


def normalize(w: Writer, node: Node) -> None:
    """Written out: LayerNormalization and its relatives know neither groups of one axis alone nor a least length."""
    attrs, axis, groups = node.attrs, node.attrs["axis"], node.attrs["groups"]
    shape, out = w.graph.types[node.name].shape, w.graph.types[node.name].quant
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    over = range(axis + 1, len(split)) if attrs["spatial"] else (axis + 1,)
    axes = w.ints(f"{node.name}.axes", *over)

    def mean(value: str) -> str:
        return w.emit(node, "ReduceMean" if attrs["mean"] else "ReduceSum", [value, axes], keepdims=1)

    x = w.emit(node, "Reshape", [w.real(node.inputs[0]), w.ints(f"{node.name}.split", *split)])
    if attrs["centred"]:
        x = w.emit(node, "Sub", [x, mean(x)])
    square = w.emit(node, "Add", [mean(w.emit(node, "Mul", [x, x])), w.floats(f"{node.name}.eps", attrs["eps"])])
    root = w.emit(node, "Max", [w.emit(node, "Sqrt", [square]), w.floats(f"{node.name}.floor", attrs["floor"])])
    y = w.emit(node, "Reshape", [w.emit(node, "Div", [x, root]), w.ints(f"{node.name}.shape", *shape)])
    unit = 1.0 if out is None else float(out.scale)  # of integers weight and bias are in units of the output's scale
    along = [-1 if d == axis else 1 for d in range(len(shape))]
    scale, shift = (w.graph.constants[name].astype(np.float64).reshape(along) * unit for name in node.inputs[1:])
    y = w.emit(node, "Mul", [y, w.floats(f"{node.name}.scale", scale)])
    w.finish(node, w.emit(node, "Add", [y, w.floats(f"{node.name}.shift", shift)]))


def response_norm(w: Writer, node: Node) -> None:
    """LRN; written out for windows of even size, which runtimes refuse."""
    a, x = node.attrs, w.real(node.inputs[0])
    if a["size"] % 2:
        y = w.emit(node, "LRN", [x], size=int(a["size"]), alpha=float(a["alpha"]), beta=float(a["beta"]), bias=float(a["k"]))
        w.finish(node, y)
        return
    n, channels, height, width = w.graph.types[node.name].shape
    pads = w.ints(f"{node.name}.pads", 0, a["size"] // 2, 0, 0, 0, (a["size"] - 1) // 2, 0, 0)
    padded = w.emit(node, "Pad", [w.emit(node, "Mul", [x, x]), pads])
    tall = w.emit(node, "Reshape", [padded, w.ints(f"{node.name}.tall", n, 1, channels + a["size"] - 1, height * width)])
    mean = w.emit(node, "AveragePool", [tall], kernel_shape=[int(a["size"]), 1])
    mean = w.emit(node, "Reshape", [mean, w.ints(f"{node.name}.shape", n, channels, height, width)])
    scaled = w.emit(node, "Mul", [mean, w.floats(f"{node.name}.alpha", a["alpha"])])
    base = w.emit(node, "Add", [scaled, w.floats(f"{node.name}.k", a["k"])])
    power = w.emit(node, "Pow", [base, w.floats(f"{node.name}.beta", a["beta"])])
    w.finish(node, w.emit(node, "Div", [x, power]))


def length(w: Writer, node: Node) -> None:
    """Windows reduced one by one."""
    x = w.real(node.inputs[0])
    for axis, ranges in ((2, node.attrs["windows"]), (3, node.attrs["columns"])):
        parts = []
        for start, stop in ranges:
            ends = [w.ints(f"{node.name}.{what}", value) for what, value in (("start", start), ("stop", stop), ("axis", axis))]
            parts.append(w.emit(node, "ReduceL2", [w.emit(node, "Slice", [x, *ends]), ends[2]], keepdims=1))
        x = parts[0] if len(parts) == 1 else w.emit(node, "Concat", parts, axis=axis)
    w.finish(node, x)


def product(w: Writer, node: Node) -> None:
    """MatMul, its right factor transposed where it is to be, times the factor."""
    x, y = (w.real(name) for name in node.inputs)
    if node.attrs["transposed"]:
        y = w.emit(node, "Transpose", [y], perm=[0, 2, 1])
    y = w.emit(node, "MatMul", [x, y])
    if node.attrs["factor"] != 1:
        y = w.emit(node, "Mul", [y, w.floats(f"{node.name}.factor", node.attrs["factor"])])
    w.finish(node, y)
