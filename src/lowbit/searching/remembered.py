"""Which kernel computes a layer, decided once for every (layer, weights, types) and remembered."""

from __future__ import annotations

import hashlib

import numpy as np

from lowbit.kernels.conv2d.selection.decide import Decisions, decide
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.searching.memory import BYTES, Memory
from lowbit.targets import Target

__all__ = ["Remembered"]


class Remembered:
    """A ``Decider``: plans of a search share most of their layers.

    ``limit``: bytes of weights whose choices are remembered (a choice may keep them alive).  ``decisions`` must answer alike
    whenever they are asked."""

    def __init__(self, limit: int = BYTES) -> None:
        self._memory: Memory[tuple[Choice, bool]] = Memory(limit)

    def __call__(
        self, problem: ConvProblem, weights: np.ndarray, target: Target, decisions: Decisions | None = None
    ) -> tuple[Choice, bool]:
        weights = np.ascontiguousarray(weights)
        # decisions are named by their identity: whoever keeps this keeps them
        key = (problem, f"{target.name} {weights.dtype}", weights.shape, hashlib.blake2b(weights.data).digest(), id(decisions))
        return self._memory.get(key, lambda: decide(problem, weights, target, decisions), lambda _: weights.nbytes)
