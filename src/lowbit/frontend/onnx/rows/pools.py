"""Pooling and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowbit.frontend.call import Value
from lowbit.frontend.handlers.operands import activation
from lowbit.frontend.handlers.pooling import pooled
from lowbit.frontend.onnx.node import OnnxNode
from lowbit.frontend.onnx.rows.layers import pads

__all__ = ["arg", "global_pool", "length", "pool", "reduce", "reduced_axes", "squares", "top"]


def pool(op: str) -> Callable[[OnnxNode], Value]:
    """MaxPool, AveragePool: windows of every output written out.

    Output k of an axis covers [k * stride - before, ... + kernel) of the input.  With ceil_mode there are
    ceil((size + before + after - kernel) / stride) + 1 of them, less one that would begin behind the input and its padding in
    front, as onnxruntime and torch have it; ``count_include_pad`` counts padding, but not what ceil_mode adds beyond it."""

    def row(n: OnnxNode) -> Value:
        shape = n.shape()
        kernel = list(n.attribute("kernel_shape", []))
        rank = len(kernel)
        if rank == 3 and op == "avg_pool2d" and len(shape) == 5:
            return _along_channels(n, kernel)
        if len(shape) != rank + 2 or rank not in (1, 2):
            n.refuse(f"an input of shape {shape} and a kernel of {rank} axes; supported are one and two spatial axes")
        stride, dilation = (list(n.attribute(name, [1] * rank)) for name in ("strides", "dilations"))
        if any(d != 1 for d in dilation):
            n.refuse("dilated pooling is not supported; dilations must be 1")
        if n.outputs > 1:
            n.refuse("its indices are read; supported are only the values")
        amounts = pads(n, shape[2:], kernel, stride, dilation)
        ranges, counted = [], []
        for size, k, s, (before, after) in zip(shape[2:], kernel, stride, amounts, strict=True):
            room = size + before + after - k
            out = -(-room // s) + 1 if n.attribute("ceil_mode", 0) else room // s + 1
            if n.attribute("ceil_mode", 0) and (out - 1) * s >= size + before:
                out -= 1
            starts = [index * s - before for index in range(out)]
            ranges.append(tuple((max(start, 0), min(start + k, size)) for start in starts))
            padded = tuple((start, min(start + k, size + after)) for start in starts)
            counted.append(padded if n.attribute("count_include_pad", 0) else ranges[-1])
        if any(low >= high for axis in ranges for low, high in axis):
            n.refuse("a window lies in the padding as a whole")
        call = n.call((*shape[:2], *map(len, ranges)))
        return pooled(n.builder, call, op, activation(call, n.value(0)), ranges, counted if op == "avg_pool2d" else ())

    return row


def _along_channels(n: OnnxNode, kernel: list[int]) -> Value:
    """AveragePool over three axes: what exporters make of a local response norm."""
    stride = list(n.attribute("strides", [1] * 3))
    exact = not any(n.attribute("pads", [])) and n.attribute("auto_pad", "NOTSET") == "NOTSET" and not n.attribute("ceil_mode", 0)
    if not exact or any(d != 1 for d in n.attribute("dilations", [1])):
        n.refuse("over three axes it is supported without padding, ceil_mode and dilation")
    n.ignore("count_include_pad")
    return n.aten("avg_pool3d", n.value(0), kernel, stride)


def global_pool(op: str) -> Callable[[OnnxNode], Value]:
    """``op`` over all spatial axes, which keep extent 1."""
    return lambda n: n.aten(op, n.value(0), list(range(2, len(n.shape()))), True)


def reduced_axes(n: OnnxNode) -> tuple[list[int], bool]:
    """(``axes``, an attribute at first and an input later, whether they keep extent 1); all without any, unless
    noop_with_empty_axes: then nothing is reduced."""
    axes, keep = n.given("axes", 1), bool(n.attribute("keepdims", 1))
    if n.attribute("noop_with_empty_axes", 0) and not axes:
        return [], keep
    return list(axes or range(len(n.shape()))), keep


def reduce(op: str) -> Callable[[OnnxNode], Value]:
    """``op`` over :func:`reduced_axes`."""
    return lambda n: _over(n, op, n.value(0))


def squares(n: OnnxNode) -> Value:
    """The sum of x^2 over :func:`reduced_axes`."""
    return _over(n, "sum.dim_IntList", n.aten("square", n.value(0)))


def _over(n: OnnxNode, op: str, x: Value) -> Value:
    axes, keep = reduced_axes(n)
    nothing = n.attribute("noop_with_empty_axes", 0) and not axes
    return x if nothing else n.aten(op, x, axes, keep)


def length(order: int) -> Callable[[OnnxNode], Value]:
    """(sum |x|^order)^(1 / order)."""

    def row(n: OnnxNode) -> Value:
        axes, keep = n.given("axes", 1), bool(n.attribute("keepdims", 1))
        return n.aten("linalg_vector_norm", n.value(0), order, list(axes or range(len(n.shape()))), keep)

    return row


def arg(op: str) -> Callable[[OnnxNode], Value]:
    """Position of the largest or smallest value along an axis, the first of several."""

    def row(n: OnnxNode) -> Value:
        if n.attribute("select_last_index", 0):
            n.refuse("select_last_index 1 is not supported")
        return n.aten(op, n.value(0), n.axis(), bool(n.attribute("keepdims", 1)))

    return row


def top(n: OnnxNode) -> Any:
    """The k largest or smallest along an axis, and where they are; k is an attribute at first, an input later."""
    k = n.given("k", 1)
    count = int(k if isinstance(k, int) else k[0])
    return n.aten("topk", n.value(0), count, n.axis("axis", -1), bool(n.attribute("largest", 1)), bool(n.attribute("sorted", 1)))
