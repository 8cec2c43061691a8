"""Batch norm with fixed statistics, and norms by statistics of the values themselves, in all their spellings."""

from __future__ import annotations

from math import prod

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "normalized", "response_normalized", "rms_norm"]


def batch_norm(b: Builder, call: Call) -> tuple[Value, ...]:
    """y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c], channel axis 1.

    ``native`` spellings return (y, save_mean, save_rstd); in evaluation nobody reads the last two.
    """
    args = call.args
    args.without_effect("momentum", "exponential_average_factor", "cudnn_enabled")
    x = activation(call, args["input"])
    mean, var = args.get("running_mean"), args.get("running_var")  # one spelling has none
    if args.get("training") or mean is None or var is None:
        call.refuse("only batch norm with running statistics can be compiled (track_running_stats=True, evaluation mode)")
    weight = torch.ones_like(mean) if args["weight"] is None else args["weight"]
    bias = torch.zeros_like(mean) if args["bias"] is None else args["bias"]
    if not all(isinstance(value, torch.Tensor) for value in (weight, bias, mean, var)):
        call.refuse("weight, bias and statistics must be constants")
    eps = b.number(call, "eps", args["eps" if "eps" in args else "epsilon"])
    return (b.emit(call, "batch_norm", [x, weight, bias, mean, var], b.shape(x), eps=eps),)


def normalized(
    b: Builder,
    call: Call,
    x: str,
    axis: int,
    *,
    weight: Value | None = None,
    bias: Value | None = None,
    groups: int = 1,
    spatial: bool = False,
    centred: bool = True,
    mean: bool = True,
    eps: float = 0.0,
    floor: float = 0.0,
) -> str:
    """(x - mean) / max(sqrt(mean of squares + eps), floor) * weight + bias: statistics over groups of an axis and, ``spatial``,
    the axes behind it.  ``centred`` False: without the mean; ``mean`` False: the sum of squares."""
    if any(isinstance(value, str) for value in (weight, bias)):
        call.refuse("weight and bias must be constants")
    channels = b.shape(x)[axis]
    scale = torch.ones(channels) if weight is None else weight
    shift = torch.zeros(channels) if bias is None else bias
    attrs = {"axis": axis, "groups": groups, "spatial": spatial, "centred": centred, "mean": mean}
    return b.emit(call, "normalize", [x, scale, shift], b.shape(x), **attrs, eps=eps, floor=floor)


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    n, c, *rest = shape
    height = 1 if len(rest) < 2 else rest[0]
    return (n, c, height, prod(rest) // height)


def _pictures(b: Builder, call: Call, x: str) -> str:
    """(N, C, ...) as (N, C, H, W)."""
    return b.reshape(call, x, _picture_shape(b.shape(x)))


def group_norm(b: Builder, call: Call) -> tuple[Value, ...]:
    """Statistics over the channels of a group and all positions; the channels are axis 1.

    ``native`` spellings return (y, mean, rstd); only y can be read."""
    args = call.args
    args.without_effect("cudnn_enabled")
    args.shape_only("N", "C", "HxW")
    x, eps = activation(call, args["input"]), b.number(call, "eps", args["eps"])
    groups = int(args["num_groups" if "num_groups" in args else "group"])
    weight, bias = args["weight"], args["bias"]
    y = normalized(b, call, _pictures(b, call, x), 1, weight=weight, bias=bias, groups=groups, spatial=True, eps=eps)
    return (b.reshape(call, y, call.shape),)


def instance_norm(b: Builder, call: Call) -> Value:
    """Statistics of every channel by itself; with running statistics in evaluation it is a batch norm."""
    args = call.args
    args.without_effect("momentum", "cudnn_enabled")
    x, eps = activation(call, args["input"]), b.number(call, "eps", args["eps"])
    mean, var, weight, bias = (args[name] for name in ("running_mean", "running_var", "weight", "bias"))
    if not args["use_input_stats"]:
        weight = torch.ones_like(mean) if weight is None else weight
        bias = torch.zeros_like(mean) if bias is None else bias
        return b.emit(call, "batch_norm", [x, weight, bias, mean, var], b.shape(x), eps=eps)
    y = normalized(b, call, _pictures(b, call, x), 1, weight=weight, bias=bias, groups=b.shape(x)[1], spatial=True, eps=eps)
    return b.reshape(call, y, call.shape)


def _over_last(
    b: Builder, call: Call, x: str, count: int, weight: Value | None, bias: Value | None, eps: float, centred: bool
) -> Value:
    """Over the last ``count`` axes, as one axis.  A picture without weights is normalised as it lies in memory."""
    shape = b.shape(x)
    if len(shape) == 4 and count == 3 and weight is None and bias is None:
        return normalized(b, call, x, 1, spatial=True, centred=centred, eps=eps)
    if any(isinstance(value, str) for value in (weight, bias)):
        call.refuse("weight and bias must be constants")
    lead = shape[: len(shape) - count]
    flat = x if count == 1 else b.reshape(call, x, (*lead, prod(shape[len(lead) :])))
    scale, shift = (value.reshape(-1) if isinstance(value, torch.Tensor) else None for value in (weight, bias))
    y = normalized(b, call, flat, len(lead), weight=scale, bias=shift, centred=centred, eps=eps)
    return b.reshape(call, y, call.shape)


def layer_norm(b: Builder, call: Call) -> tuple[Value, ...]:
    """Statistics over the last axes.  ``native_layer_norm`` returns (y, mean, rstd); only y can be read."""
    args = call.args
    args.without_effect("cudnn_enable")
    x, eps = activation(call, args["input"]), b.number(call, "eps", args["eps"])
    return (_over_last(b, call, x, len(args["normalized_shape"]), args["weight"], args["bias"], eps, True),)


def rms_norm(b: Builder, call: Call) -> Value:
    """x / sqrt(mean x^2 + eps) * weight over the last axes; eps is float32's without one."""
    args = call.args
    x, eps = activation(call, args["input"]), args["eps"]
    eps = torch.finfo(torch.float32).eps if eps is None else b.number(call, "eps", eps)
    return _over_last(b, call, x, len(args["normalized_shape"]), args["weight"], None, eps, False)


def response_normalized(b: Builder, call: Call, x: str, size: int, alpha: float, beta: float, k: float) -> Value:
    """x / (k + alpha / size * sum of the squares of ``size`` near channels)^beta; the channels are axis 1."""
    if not 0 <= beta < 8 or k <= 0 or alpha < 0:
        call.refuse(f"beta {beta}, k {k} and alpha {alpha}; beta must lie in 0..8, k be positive, alpha not negative")
    y = b.emit(call, "response_norm", [_pictures(b, call, x)], _picture_shape(b.shape(x)), size=size, alpha=alpha, beta=beta, k=k)
    return b.reshape(call, y, call.shape)
