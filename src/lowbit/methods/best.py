"""What pays, each for as long as it needs."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import best_of, candidates
from lowbit.methods.batch_norm import BatchNormReestimation
from lowbit.methods.task import Task

__all__ = ["Best"]


@dataclass(frozen=True)
class Best:
    """As :class:`Auto`, without its minute; batch norm re-estimation, too, where nothing has less than 8 bits.  Each candidate is
    kept only if it lowers the error on the rows that judge.

    Block reconstruction and distillation are not among them: they come after these, cost most of the time, and lowered that
    error on no network by more than its noise.  They remain methods of their own."""

    def __call__(self, task: Task) -> Task:
        wide = min(bits_of(task)) >= 8
        return best_of(task, [*candidates(task, AdaRound()), *([BatchNormReestimation()] if wide else [])], "best")


def bits_of(task: Task) -> list[int]:
    """Of all values and weights that are quantized; 8 where none is."""
    params = [held for held in task.choice.values.values() if held is not None]
    return [held.qtype.bits for held in params] + [n.weights.params.qtype.bits for n in task.choice.layers.values()] or [8]
