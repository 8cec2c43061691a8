"""Rows of operations that are others put together."""

from __future__ import annotations

from typing import Any

import torch

from lowbit.frontend.call import Value
from lowbit.frontend.onnx.node import OnnxNode
from lowbit.frontend.onnx.rows.pools import reduced_axes

__all__ = ["cum_sum", "folded", "log_sum", "mean_variance", "product", "shrink", "soft_maximum", "thresholded", "triangle"]


def cum_sum(n: OnnxNode) -> Value:
    """Sums up to each place along an axis, without its own where ``exclusive``, from the end where ``reverse``."""
    x, axis = n.value(0), int(n.constant(1, "the axis"))
    exclusive, turned = bool(n.attribute("exclusive", 0)), bool(n.attribute("reverse", 0))
    x = n.aten("flip", x, [axis]) if turned else x
    y = n.aten("cumsum", x, axis)
    y = n.aten("sub.Tensor", y, x) if exclusive else y
    return n.aten("flip", y, [axis]) if turned else y


def triangle(n: OnnxNode) -> Value:
    """The upper or lower triangle of matrices, 0 elsewhere."""
    k = 0 if n.get(1) is None else int(n.constant(1, "k"))
    return n.aten("triu" if n.attribute("upper", 1) else "tril", n.value(0), k)


def log_sum(n: OnnxNode) -> Value:
    """log(sum x) over ``axes``."""
    axes, keep = reduced_axes(n)
    return n.aten("log", n.aten("sum.dim_IntList", n.value(0), axes, keep) if axes else n.value(0))


def soft_maximum(n: OnnxNode) -> Value:
    """log(sum exp x) over ``axes``."""
    axes, keep = reduced_axes(n)
    return n.aten("logsumexp", n.value(0), axes, keep) if axes else n.value(0)


def product(n: OnnxNode) -> Value:
    """The product over ``axes``."""
    axes, keep = reduced_axes(n)
    y: Any = n.value(0)
    for axis in sorted((axis % max(len(n.shape()), 1) for axis in axes), reverse=True):
        y = n.aten("prod.dim_int", y, axis, keep)
    return y


def shrink(n: OnnxNode) -> Value:
    """x - bias above lambd, x + bias below -lambd, 0 between."""
    bias, lambd = float(n.attribute("bias", 0.0)), float(n.attribute("lambd", 0.5))
    if bias == lambd:
        return n.aten("softshrink", n.value(0), lambd)
    y = n.aten("hardshrink", n.value(0), lambd)
    return n.aten("sub.Tensor", y, n.aten("mul.Tensor", n.aten("sign", y), torch.tensor(bias))) if bias else y


def thresholded(n: OnnxNode) -> Value:
    """x above alpha, else 0."""
    return n.aten("threshold", n.value(0), float(n.attribute("alpha", 1.0)), 0.0)


def mean_variance(n: OnnxNode) -> Value:
    """(x - mean) / deviation over ``axes``."""
    axes = list(n.attribute("axes", [0, 2, 3]))
    around = n.aten("sub.Tensor", n.value(0), n.aten("mean.dim", n.value(0), axes, True))
    variance = n.aten("mean.dim", n.aten("square", around), axes, True)
    return n.aten("div.Tensor", around, n.aten("sqrt", n.aten("add.Tensor", variance, torch.tensor(1e-9))))


def folded(n: OnnxNode) -> Value:
    """Col2Im of two axes: windows added up where they came from."""
    size, kernel = (
        [int(each) for each in n.constant(k, what)] for k, what in ((1, "the image's shape"), (2, "the block's shape"))
    )
    pads = [int(each) for each in n.attribute("pads", [0] * 2 * len(size))]
    if len(size) != 2 or pads[:2] != pads[2:]:
        n.refuse(f"an image of {len(size)} axes with pads {pads}; supported are two, padded alike on both sides")
    dilation, stride = (list(n.attribute(name, [1, 1])) for name in ("dilations", "strides"))
    return n.aten("col2im", n.value(0), size, kernel, dilation, pads[:2], stride)
