"""aten convolutions -> conv2d, transposed ones as several; one-dimensional ones as conv2d of height 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation
from lowbit.frontend.handlers.transposed import transposed

__all__ = ["conv1d", "conv2d", "conv_transpose", "convolution"]


def _pair(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    values = [value] * rank if isinstance(value, int) else list(value)
    return tuple(values * rank if len(values) == 1 else values)


def _padding(call: Call, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(before, after) per spatial axis.

    ``same`` pads dilation * (kernel - 1) in all, the odd one after, as torch does.
    """
    padding = call.args["padding"]
    if padding == "valid":
        return tuple((0, 0) for _ in kernel)
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((p, p) for p in _pair(padding, len(kernel)))


def _operands(b: Builder, call: Call, rank: int) -> tuple[str, torch.Tensor, torch.Tensor | None]:
    x, weight, bias = activation(call, call.args["input"]), call.args["weight"], call.args["bias"]
    if not isinstance(weight, torch.Tensor) or isinstance(bias, str):
        call.refuse("weight and bias must be constants, not computed from the input")
    shape = b.shape(x)
    if len(shape) != rank + 2:
        call.refuse(f"the input has shape {shape}; give it a batch axis, so that it has {rank + 2} axes")
    return x, weight, bias


def _convolve(b: Builder, call: Call, rank: int) -> Value:
    x, weight, bias = _operands(b, call, rank)
    shape = b.shape(x)
    stride, dilation = _pair(call.args["stride"], rank), _pair(call.args["dilation"], rank)
    padding = _padding(call, weight.shape[2:], dilation)
    out = call.shape
    if rank == 1:
        x = b.reshape(call, x, (*shape[:2], 1, shape[2]))
        weight, stride, dilation, padding = weight.unsqueeze(2), (1, *stride), (1, *dilation), ((0, 0), *padding)
        out = (*out[:2], 1, out[2])
    (top, bottom), (left, right) = padding
    inputs: list[Value] = [x, weight] if bias is None else [x, weight, bias]
    attrs = {"stride": stride, "padding": (top, left, bottom, right), "dilation": dilation, "groups": call.args["groups"]}
    y = b.emit(call, "conv2d", inputs, out, **attrs)
    return b.reshape(call, y, call.shape)


def conv2d(b: Builder, call: Call) -> Value:
    """y[n,o,i,j] = bias[o] + sum w[o,c,p,q] x[n,c, i*stride+p*dilation-pad, ...], zero padded."""
    return _convolve(b, call, 2)


def conv1d(b: Builder, call: Call) -> Value:
    """conv2d over (N, C, 1, L) with a 1 x k kernel."""
    return _convolve(b, call, 1)


def conv_transpose(rank: int) -> Callable[[Builder, Call], Value]:
    """y[n,o,i] = bias[o] + sum w[c,o,k] x[n,c,(i + padding - k*dilation) / stride], over what is whole and inside."""

    def handle(b: Builder, call: Call) -> Value:
        x, weight, bias = _operands(b, call, rank)
        call.args.shape_only("output_padding")
        stride, padding, dilation = (_pair(call.args[name], rank) for name in ("stride", "padding", "dilation"))
        out = call.shape[2:]
        if rank == 1:
            x, weight = b.reshape(call, x, (*b.shape(x)[:2], 1, b.shape(x)[2])), weight.unsqueeze(2)
            stride, padding, dilation, out = (1, *stride), (0, *padding), (1, *dilation), (1, *out)
        y = transposed(b, call, x, weight, bias, stride, padding, dilation, call.args["groups"], out)
        return b.reshape(call, y, call.shape)

    return handle


def convolution(b: Builder, call: Call) -> Value:
    """The general operator: of one or two spatial axes."""
    rank = len(call.args["weight"].shape) - 2
    if rank not in (1, 2):
        call.refuse(f"{rank} spatial axes; supported are 1 and 2: fold one axis into the batch or the channels")
    if call.args["transposed"]:
        return conv_transpose(rank)(b, call)
    call.args.without_effect("output_padding")
    return _convolve(b, call, rank)
