"""Empirical bias correction: biases take up what is left of the mean error of each channel.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.2 and appendix D.
"""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.graph import Node
from lowbit.methods.corrections import correct_layers
from lowbit.methods.moments import Moments
from lowbit.methods.numbers import layer_numbers
from lowbit.methods.simulate import parameters_of
from lowbit.methods.task import Task
from lowbit.quantization import Choice, LayerNumbers

__all__ = ["BiasCorrection"]


@dataclass(frozen=True)
class BiasCorrection:
    """b[c] += E[y_c] - E[y'_c], with y the layer's output before residual and clamp in the float network and y' the same in the
    network quantized so far, so that the errors of earlier layers are taken up, too.  (Rounding to nearest corrects the error
    of the layer's own weights already, from the mean of its inputs: ``bias_correction`` of QuantizationConfig.)"""

    def __call__(self, task: Task) -> Task:
        return correct_layers(task, "bias correction", _corrected)


def _corrected(task: Task, choice: Choice, node: Node, moments: Moments) -> LayerNumbers | None:
    x = choice.values[node.inputs[0]]
    assert x is not None  # a layer reads integers
    bias = parameters_of(choice, node).bias.double().numpy() + moments.mean - moments.quantized_mean
    return layer_numbers(choice.layers[node.name].weights, bias, x)
