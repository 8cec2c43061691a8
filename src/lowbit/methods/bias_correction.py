"""Empirical bias correction: biases take up what is left of the mean error of each channel.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.2 and appendix D.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowbit.graph import Node
from lowbit.methods.corrections import correct_layers
from lowbit.methods.moments import outputs_of
from lowbit.methods.numbers import layer_numbers
from lowbit.methods.simulate import parameters_of
from lowbit.methods.task import Task
from lowbit.methods.walk import Pair, by_channel
from lowbit.quantization import Choice, LayerNumbers

__all__ = ["BiasCorrection", "shift_of_means"]


@dataclass(frozen=True)
class BiasCorrection:
    """b[c] += t_c such that E[f(y'_c + r'_c + t_c)] = E[f(y_c + r_c)], with y the layer's output in the float network, y' the
    same in the network quantized so far (so that the errors of earlier layers are taken up, too), r a fused residual, f the
    clamp.

    Without a clamp t = E[y] - E[y'] as in the paper.  With one that difference is dominated, at few bits, by outputs that the
    clamp cuts off anyway, and a correction by it does harm.  (Rounding to nearest corrects the error of the layer's own weights
    already, from the mean of its inputs: ``bias_correction`` of QuantizationConfig.)"""

    def __call__(self, task: Task) -> Task:
        return correct_layers(task, "bias correction", _corrected)


def _corrected(task: Task, choice: Choice, node: Node, values: dict[str, Pair]) -> LayerNumbers | None:
    x = choice.values[node.inputs[0]]
    assert x is not None  # a layer reads integers
    exact, quantized = (by_channel(node, y) for y in outputs_of(task.targets, choice, node, values, residual=True))
    shift = shift_of_means(exact, quantized, node.attrs.get("lo"), node.attrs.get("hi"))
    return layer_numbers(choice.layers[node.name].weights, (parameters_of(choice, node).bias.double() + shift).numpy(), x)


_STEPS = 8


def shift_of_means(exact: Tensor, quantized: Tensor, lo: float | None, hi: float | None) -> Tensor:
    """t (C,), float64: mean(clamp(quantized + t)) = mean(clamp(exact)) along axis 1, by Newton's method; 0 in channels of which
    nothing lies inside the clamp."""
    least, most = -torch.inf if lo is None else lo, torch.inf if hi is None else hi
    wanted = exact.clamp(least, most).mean(1, dtype=torch.float64)
    shift, reach = torch.zeros(len(exact), dtype=torch.float64), exact.std(1).double()
    for _ in range(_STEPS):
        y = quantized + shift[:, None].float()
        inside = ((y > least) & (y < most)).double().mean(1)
        step = (wanted - y.clamp(least, most).mean(1, dtype=torch.float64)) / inside.clamp_min(1e-3)
        shift = shift + torch.where(inside > 0, step, 0.0).clamp(-reach, reach)
    return shift
