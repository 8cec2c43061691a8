"""What pays, each for as long as it needs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import best_of, candidates
from lowbit.methods.batch_norm import BatchNormReestimation
from lowbit.methods.coordinate_descent import CoordinateDescent
from lowbit.methods.task import Step, Task

__all__ = ["Best"]


@dataclass(frozen=True)
class Best:
    """As :class:`Auto`, without its minute; batch norm re-estimation, too, where nothing has less than 8 bits.  Each candidate is
    kept only if it lowers the error on the rows that judge.  Of fewer than ``all_below`` rows in all, a third is missed: what was
    kept is then carried out once more on all of them, as it was judged on two thirds.

    Block reconstruction and distillation are not among them: they come after these, cost most of the time, and lowered that
    error on no network by more than its noise.  They remain methods of their own."""

    all_below: int = 256

    def __call__(self, task: Task) -> Task:
        tried = candidates(task, [CoordinateDescent(), AdaRound()])
        if min(bits_of(task)) >= 8:
            tried.append(BatchNormReestimation())
        judged, kept = best_of(task, tried, "best")
        if not kept or len(task.calibration.samples[0]) >= self.all_below:
            return judged
        began, done = time.monotonic(), replace(task, fit=task.calibration.samples)
        for method in kept:
            done = method(done)
        what = f"the same on all {len(done.fit[0])} rows, those that judged among them"
        return replace(done, fit=task.fit, log=(*judged.log, Step("best", what, time.monotonic() - began)))


def bits_of(task: Task) -> list[int]:
    """Of all values and weights that are quantized; 8 where none is."""
    params = [held for held in task.choice.values.values() if held is not None]
    return [held.qtype.bits for held in params] + [n.weights.params.qtype.bits for n in task.choice.layers.values()] or [8]
