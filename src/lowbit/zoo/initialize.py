"""Seeded weights under which a network stays alive: no layer's outputs vanish, explode or coincide."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowbit.zoo.samples import smooth_samples

__all__ = ["initialize"]


def initialize(model: nn.Module, input_shape: Sequence[int], seed: int) -> nn.Module:
    """Sets every parameter and statistic of ``model`` in place; returns it in evaluation mode.

    Weights: normal, variance 2 / fan_in (He et al. 2015).  Then one forward pass over a few smooth
    samples sets what depends on data: batch norm statistics, and for layers with a bias (those that no
    batch norm corrects) scale and bias such that outputs have mean 0 per channel and deviation 1
    (LSUV, Mishkin and Matas 2015, in one step).
    """
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, sqrt(2 / fan_in), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
                hooks.append(module.register_forward_hook(_normalize))
        elif isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.7, 1.3, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
            module.reset_running_stats()
            hooks.append(module.register_forward_hook(_adopt_statistics))
    model.eval()
    count = 4 if len(input_shape) == 4 else 256
    with torch.no_grad():
        model(smooth_samples((count, *input_shape[1:]), seed + 1))
    for hook in hooks:
        hook.remove()
    return model


def _adopt_statistics(module: _BatchNorm, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The statistics of this batch become the running ones; returns the normalized batch."""
    (x,) = inputs
    dims = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x, dims)
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance)
    return nn.functional.batch_norm(x, mean, variance, module.weight, module.bias, False, 0.0, module.eps)


def _normalize(module: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Scales the weight to deviation 1 and centres each channel by the bias; returns the new output."""
    dims = [axis for axis in range(output.dim()) if axis != 1]
    mean = output.mean(dims, keepdim=True)
    output = output - mean
    deviation = output.std()
    module.weight.div_(deviation)
    module.bias.copy_(-mean.flatten() / deviation)
    return output / deviation
