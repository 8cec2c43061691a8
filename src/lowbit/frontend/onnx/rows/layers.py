"""Convolutions, matrix products and normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from lowbit.frontend.call import Value
from lowbit.frontend.handlers.normalization import normalized, response_normalized
from lowbit.frontend.handlers.operands import activation
from lowbit.frontend.onnx.node import OnnxNode

__all__ = [
    "batch_norm",
    "conv",
    "conv_transpose",
    "einsum",
    "gemm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "matmul",
    "pads",
]


def pads(
    n: OnnxNode, sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis: ``pads``, or what ``auto_pad`` says, ``sizes`` being the input's extents.

    SAME_UPPER and SAME_LOWER pad such that there are ceil(size / stride) windows, the odd element behind or in front."""
    auto, rank = n.attribute("auto_pad", "NOTSET"), len(sizes)
    given = list(n.attribute("pads", [0] * 2 * rank))  # another auto_pad overrides them
    if auto in ("NOTSET", ""):
        return list(zip(given[:rank], given[rank:], strict=True))
    if auto == "VALID":
        return [(0, 0)] * rank
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        n.refuse(f"auto_pad {auto!r}; known are NOTSET, VALID, SAME_UPPER and SAME_LOWER")
    found = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        missing = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        small, large = missing // 2, missing - missing // 2
        found.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return found


def padded(n: OnnxNode, x: Value, amounts: Sequence[tuple[int, int]]) -> Value:
    """Zeros around the spatial axes."""
    flat = [amount for pair in reversed(amounts) for amount in pair]
    aside = replace(n.aten, place=replace(n.aten.place, layer=False))  # the node's own name is the layer's
    return aside("constant_pad_nd", x, flat, 0.0) if any(flat) else x


def conv(n: OnnxNode) -> Value:
    """Conv: 1 or 2 spatial axes; padding that is not the same on both sides becomes a pad, which passes merge again."""
    x, weight, shape = n.value(0), n.value(1), n.shape()
    kernel = n.builder.shape(weight)[2:]
    rank = len(kernel)
    if len(shape) != rank + 2:
        n.refuse(f"an input of shape {shape} does not fit weights of shape {n.builder.shape(weight)}")
    stride, dilation = (list(n.attribute(name, [1] * rank)) for name in ("strides", "dilations"))
    amounts, group = pads(n, shape[2:], kernel, stride, dilation), int(n.attribute("group", 1))
    even = all(before == after for before, after in amounts)
    x = x if even else padded(n, x, amounts)
    padding = [before for before, _ in amounts] if even else [0] * rank
    return n.aten(f"conv{rank}d", x, weight, n.get(2), stride, padding, dilation, group)


def conv_transpose(n: OnnxNode) -> Value:
    """ConvTranspose.  Pads cut the full result, of extent (size - 1) * stride + dilation * (kernel - 1) + 1 + output_padding;
    ``output_shape`` and ``auto_pad`` say how much is cut, or added behind (operators' document of ONNX, ConvTranspose)."""
    x, weight, shape = n.value(0), n.value(1), n.shape()
    kernel = n.builder.shape(weight)[2:]
    rank = len(kernel)
    stride, dilation = (list(n.attribute(name, [1] * rank)) for name in ("strides", "dilations"))
    extra, group = list(n.attribute("output_padding", [0] * rank)), int(n.attribute("group", 1))
    steps = zip(shape[2:], stride, dilation, kernel, extra, strict=True)
    full = [(size - 1) * s + d * (k - 1) + 1 + e for size, s, d, k, e in steps]
    auto, wanted = n.attribute("auto_pad", "NOTSET"), n.attribute("output_shape")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * s for size, s in zip(shape[2:], stride, strict=True)]
    if wanted is not None:
        n.ignore("pads")  # which these override
        wanted = list(wanted)[-rank:]
        extra = [e + max(want - have, 0) for e, have, want in zip(extra, full, wanted, strict=True)]
        cuts = [max(have - want, 0) for have, want in zip(full, wanted, strict=True)]
        upper = auto == "SAME_UPPER"
        amounts = [(cut // 2, cut - cut // 2) if upper else (cut - cut // 2, cut // 2) for cut in cuts]
    else:
        amounts = pads(n, shape[2:], kernel, stride, dilation)
    name = "conv_transpose1d" if rank == 1 else f"conv_transpose{rank}d.input"
    if all(before == after for before, after in amounts):
        padding = [before for before, _ in amounts]
        return n.aten(name, x, weight, n.get(2), stride, padding, extra, group, dilation)
    y = n.aten(name, x, weight, n.get(2), stride, [0] * rank, extra, group, dilation)
    for axis, ((before, after), have) in enumerate(zip(amounts, full, strict=True), 2):
        y = n.aten("slice.Tensor", y, axis, before, have - after)
    return y


def gemm(n: OnnxNode) -> Value:
    """alpha * A' B' + beta * C, with ' a transposition where transA or transB says so."""
    a, b, c = n.value(0), n.value(1), n.get(2)
    alpha, beta = n.attribute("alpha", 1.0), n.attribute("beta", 1.0)
    a = n.aten("t", a) if n.attribute("transA", 0) else a
    features = n.builder.shape(b)[0 if n.attribute("transB", 0) else 1]
    vector = c is None or (isinstance(c, torch.Tensor) and tuple(c.shape) == (features,))
    if n.attribute("transB", 0) and alpha == beta == 1.0 and vector:
        return n.aten("linear", a, b, c)
    b = n.aten("t", b) if n.attribute("transB", 0) else b
    if c is None:
        c, beta = torch.zeros(features), 1.0
    return n.aten("addmm", c, a, b, beta=beta, alpha=alpha)


def matmul(n: OnnxNode) -> Value:
    """A B; a constant A: (B^T A^T)^T."""
    a, b = n.value(0), n.value(1)
    if isinstance(a, torch.Tensor) and isinstance(b, str) and a.dim() == 2 and len(n.shape(1)) >= 2:
        swapped = n.aten("matmul", n.aten("transpose.int", b, -1, -2), a.T.contiguous())
        return n.aten("transpose.int", swapped, -1, -2)
    return n.aten("matmul", a, b)


def einsum(n: OnnxNode) -> Value:
    """A contraction in the notation of numpy."""
    return n.aten("einsum", str(n.attribute("equation", "")), [n.value(index) for index in range(len(n.inputs))])


def batch_norm(n: OnnxNode) -> Value:
    """(x - mean) / sqrt(var + epsilon) * scale + bias; the statistics of the file."""
    if n.attribute("training_mode", 0):
        n.refuse("training_mode 1: its statistics come from each input; export the network in evaluation mode")
    scale, bias, mean, var = (n.constant(index, what) for index, what in enumerate(("scale", "bias", "mean", "variance"), 1))
    return n.aten("batch_norm", n.value(0), scale, bias, mean, var, False, 0.0, n.attribute("epsilon", 1e-5), False)


def instance_norm(n: OnnxNode) -> Value:
    scale, bias = n.constant(1, "scale"), n.constant(2, "bias")
    return n.aten("instance_norm", n.value(0), scale, bias, None, None, True, 0.0, n.attribute("epsilon", 1e-5), False)


def group_norm(n: OnnxNode) -> Value:
    """Since opset 21 scale and bias are one for each channel, before that one for each group."""
    scale, bias, groups = n.constant(1, "scale"), n.constant(2, "bias"), int(n.attribute("num_groups"))
    channels = n.shape()[1]
    scale, bias = (value.repeat_interleave(channels // len(value)) for value in (scale, bias))
    return n.aten("group_norm", n.value(0), groups, scale, bias, n.attribute("epsilon", 1e-5), False)


def layer_norm(n: OnnxNode) -> Value:
    """Over all axes from ``axis`` on."""
    shape = list(n.shape()[n.axis(default=-1) :])
    scale, bias = n.get(1), n.get(2)
    scale, bias = (value.expand(shape) if isinstance(value, torch.Tensor) else value for value in (scale, bias))
    return n.aten("layer_norm", n.value(0), shape, scale, bias, n.attribute("epsilon", 1e-5), False)


def rms_norm(n: OnnxNode) -> Value:
    """x / sqrt(mean of x^2 + epsilon) * scale, over all axes from ``axis`` on."""
    shape = list(n.shape()[n.axis(default=-1) :])
    n.ignore("stash_type")  # sums are exact, or in float64
    scale = n.constant(1, "scale").expand(shape)
    return n.aten("rms_norm", n.value(0), shape, scale, n.attribute("epsilon", 1e-5))


def attention(n: OnnxNode) -> Value:
    """softmax(scale Q K^T + mask) V of values (batch, heads, places, size), or (batch, places, heads * size)."""
    if n.outputs > 1 or any(n.get(index) is not None for index in (4, 5, 6)):
        n.refuse("past and present keys and values, and the products themselves, are not supported")
    if n.attribute("softcap", 0.0):
        n.refuse("softcap is not supported")
    n.ignore("softmax_precision", "qk_matmul_output_mode")
    flat = len(n.shape()) == 3
    counts = [int(n.attribute(name, 1)) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    given = [n.value(index) for index in range(3)]
    if flat:
        given = [n.aten("transpose.int", _split(n, x, heads), 1, 2) for x, heads in zip(given, counts, strict=True)]
    heads = {n.builder.shape(x)[1] for x in given}
    causal, grouped = bool(n.attribute("is_causal", 0)), len(heads) > 1
    scale = n.attribute("scale") or None
    y = n.aten("scaled_dot_product_attention", *given, n.get(3), 0.0, causal, scale=scale, enable_gqa=grouped)
    if not flat:
        return y
    batch, count, places, size = n.builder.shape(y)
    return n.aten("reshape", n.aten("transpose.int", y, 1, 2), [batch, places, count * size])


def _split(n: OnnxNode, x: Value, heads: int) -> Value:
    """(batch, places, heads * size) -> (batch, places, heads, size)."""
    batch, places, width = n.builder.shape(x)
    return n.aten("reshape", x, [batch, places, heads, width // heads])


def response_norm(n: OnnxNode) -> Value:
    """x / (bias + alpha / size * sum of squares of near channels)^beta."""
    numbers = {name: float(n.attribute(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))}
    x = activation(n.call(n.shape()), n.value(0))
    return response_normalized(
        n.builder, n.call(n.shape()), x, int(n.attribute("size")), numbers["alpha"], numbers["beta"], numbers["bias"]
    )


def lp_norm(n: OnnxNode) -> Value:
    """x over its Euclidean length along an axis; 0 where that is 0."""
    if int(n.attribute("p", 2)) != 2:
        n.refuse(f"p = {n.attribute('p')}; supported is 2")
    x = activation(n.call(n.shape()), n.value(0))
    return normalized(n.builder, n.call(n.shape()), x, n.axis(default=-1), centred=False, mean=False, floor=_LEAST)


_LEAST = 2.0**-126  # of lengths: 0 / 0 is 0, as ONNX has it
