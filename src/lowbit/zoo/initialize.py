"""Seeded weights under which a network stays alive: no layer's outputs vanish, explode or coincide."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowbit.zoo.samples import smooth_samples

__all__ = ["initialize"]

_RESIDUAL_GAIN = 0.2


def initialize(model: nn.Module, input_shape: Sequence[int], seed: int) -> nn.Module:
    """Sets every parameter and statistic of ``model`` in place; returns it in evaluation mode.

    Weights: normal, variance 2 / fan_in (He et al. 2015).  The batch norm that ends a residual branch (a
    block shows it as ``residual_norm``) has a fifth of the others' weight: in trained networks branches
    correct what they are added to.  With equal weights every block replaces half of its input, and fifty
    random layers amplify a rounding error a thousand times.  Then one forward pass over a few smooth
    samples sets what depends on data: batch norm statistics, and for layers with a bias (those that no
    batch norm corrects) scale and bias such that outputs have mean 0 per channel and deviation 1
    (LSUV, Mishkin and Matas 2015, in one step).
    """
    generator = torch.Generator().manual_seed(seed)
    branches = {id(block.residual_norm) for block in model.modules() if hasattr(block, "residual_norm")}
    hooks = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, sqrt(2 / fan_in), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
                hooks.append(module.register_forward_hook(_normalize))
        elif isinstance(module, _BatchNorm):
            gain = _RESIDUAL_GAIN if id(module) in branches else 1.0
            nn.init.uniform_(module.weight, 0.7 * gain, 1.3 * gain, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
            module.reset_running_stats()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # the running statistics become those of the one batch
    with torch.no_grad():
        model(smooth_samples((_samples(input_shape), *input_shape[1:]), seed + 1))
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def _samples(input_shape: Sequence[int]) -> int:
    """Few where pictures are large: every channel still averages over all their pixels."""
    return 256 if len(input_shape) != 4 else 2 if input_shape[-1] > 64 else 16


def _normalize(module: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Scales the weight to deviation 1 and centres each channel by the bias; returns the new output."""
    dims = [axis for axis in range(output.dim()) if axis != 1]
    mean = output.mean(dims, keepdim=True)
    output = output - mean
    deviation = output.std()
    module.weight.div_(deviation)
    module.bias.copy_(-mean.flatten() / deviation)
    return output / deviation
