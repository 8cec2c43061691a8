"""Batch norms estimated again, on the quantized network.

Sun et al.: Hybrid 8-bit Floating Point Training and Inference for Deep Neural Networks, NeurIPS 2019, section 3.2; Hubara,
Nahshan, Hanani, Banner, Soudry: Accurate Post Training Quantization With Small Calibration Sets, ICML 2021, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.graph import Node
from lowbit.methods.corrections import correct_layers
from lowbit.methods.moments import moments_of
from lowbit.methods.numbers import layer_numbers
from lowbit.methods.simulate import parameters_of
from lowbit.methods.task import Task
from lowbit.methods.walk import Pair
from lowbit.quantization import Choice, FloatScale, LayerNumbers, PerTensor, Quantized

__all__ = ["BatchNormReestimation"]


@dataclass(frozen=True)
class BatchNormReestimation:
    """A batch norm behind a layer would bring each channel of its output to mean and deviation that it learned.  It is folded
    into the layer here, so the layer's own scale and bias are corrected to the same effect: with (m, d) mean and deviation of
    channel c before residual and clamp in the float network, (m', d') in the network quantized so far,

        s_w[c] *= g,  b[c] = g (b[c] - m') + m,  g = d / d'

    so that the channel has mean m and deviation d again.  g is kept within ``most`` of 1, and is 1 where scales are not free
    (power of two, fixed, per tensor): then this is bias correction."""

    most: float = 1.5

    def __call__(self, task: Task) -> Task:
        return correct_layers(task, "batch norm re-estimation", self._corrected)

    def _corrected(self, task: Task, choice: Choice, node: Node, values: dict[str, Pair]) -> LayerNumbers | None:
        moments = moments_of(task.targets, choice, node, values)
        x, weights = choice.values[node.inputs[0]], choice.layers[node.name].weights
        assert x is not None  # a layer reads integers
        free = isinstance(task.config.scale, FloatScale) and not isinstance(task.config.granularity, PerTensor)
        gain = np.ones(len(moments.mean))
        if free:
            known = (moments.deviation > 0) & (moments.quantized_deviation > 0)
            gain[known] = moments.deviation[known] / moments.quantized_deviation[known]
            gain = np.clip(gain, 1 / self.most, self.most)
        scaled = replace(weights.params, scale=(weights.params.scale * gain).astype(np.float32))
        bias = parameters_of(choice, node).bias.double().numpy()
        return layer_numbers(Quantized(weights.integers, scaled), gain * (bias - moments.quantized_mean) + moments.mean, x)
