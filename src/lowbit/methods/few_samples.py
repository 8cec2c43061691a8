"""For few samples: the first layers learn together by what the network gives, then the others are rounded on what these give.

After AE-QDrop (Electronics 13, 2024), which fine-tunes a network by its outputs and features once its parts are rounded; here
that comes first, and the number of samples says which layers learn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from lowbit.methods.adaround import AdaRound
from lowbit.methods.bias_correction import BiasCorrection
from lowbit.methods.distillation import Distillation, leading_layers
from lowbit.methods.task import Step, Task
from lowbit.methods.views import Views

__all__ = ["WEIGHTS_PER_ROW", "FewSamples"]

WEIGHTS_PER_ROW = 120.0
"""Weights that a row determines when layers learn together."""
_FIRST_LAYERS = Distillation(
    iterations=300, batch=8, rate=3e-4, scale_rate=2e-3, bias_rate=0.2, points=8, views=Views(0.6), rest_in_float=True, warm=0.1
)


@dataclass(frozen=True)
class FewSamples:
    """Three steps.

    1. ``distillation``: the first layers, as many as have no more than ``weights_per_row`` weights together for each row, and the
       ranges of all values learn from the outputs of the whole network.  The other layers compute with their float weights
       meanwhile, on rounded values.
    2. ``rounding``: AdaRound for these others, on what the network gives them after the first step.
    3. Bias correction of all layers.

    The first layers have few weights and most positions, and an error that they make lies over whole regions of an image: no
    later layer averages it out.  Rounding one layer after the other cannot repair that: each layer then does best by making up
    for the errors that come in, of these very samples, and the large layers behind do so by heart.  On MobileNetV1 at W4A4 with
    67 photographs AdaRound alone comes to a divergence of 0.07 on those, and of 0.5 on others; of the divergence by 4-bit values
    alone (0.52), nine tenths go where the first five values are real."""

    distillation: Distillation = field(default_factory=lambda: _FIRST_LAYERS)
    rounding: AdaRound = field(default_factory=lambda: AdaRound(iterations=500))
    weights_per_row: float = WEIGHTS_PER_ROW

    def __call__(self, task: Task) -> Task:
        rows = len(task.samples_for("few samples")[0])
        began, first = time.monotonic(), leading_layers(task.graph, self.weights_per_row * rows)
        learned = replace(self.distillation, weights_per_row=self.weights_per_row, rest_in_float=True)(task)
        done = BiasCorrection()(replace(self.rounding, spared=tuple(first))(learned))
        what = "; ".join(f"{step.method} {step.what}" for step in done.log[len(task.log) :])
        return replace(done, log=(*task.log, Step("few samples", what, time.monotonic() - began)))
