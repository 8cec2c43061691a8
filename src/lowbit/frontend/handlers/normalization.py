"""Batch norm with fixed statistics, in all its spellings."""

from __future__ import annotations

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["batch_norm"]


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
