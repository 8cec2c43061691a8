"""Everything that may pay, each for as long as it needs."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.methods.adaround import AdaRound
from lowbit.methods.auto import best_of, equalizations
from lowbit.methods.batch_norm import BatchNormReestimation
from lowbit.methods.bias_correction import BiasCorrection
from lowbit.methods.block_reconstruction import BlockReconstruction
from lowbit.methods.distillation import Distillation
from lowbit.methods.equalization import Equalization
from lowbit.methods.task import Method, Task

__all__ = ["Best"]

_NARROW = 4  # up to here the ranges of values are worth learning


@dataclass(frozen=True)
class Best:
    """As :class:`Auto`, without its minute: equalisation, AdaRound, bias correction, block reconstruction where something has at
    most 4 bits, then the whole network by distillation.  Each is kept only if it lowers the error on the rows that judge."""

    def __call__(self, task: Task) -> Task:
        return best_of(task, candidates(task), "best")


def candidates(task: Task) -> list[Method]:
    """In the order in which they are tried."""
    params = [held for held in task.choice.values.values() if held is not None]
    bits = [held.qtype.bits for held in params] + [n.weights.params.qtype.bits for n in task.choice.layers.values()]
    if min(bits, default=8) >= 8:
        return [Equalization(), BiasCorrection(), BatchNormReestimation()]
    blocks = [BlockReconstruction()] if min(bits) <= _NARROW else []
    return [*equalizations(task), AdaRound(), BiasCorrection(), *blocks, Distillation()]
