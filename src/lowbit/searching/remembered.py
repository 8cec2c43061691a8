"""Which kernel computes a layer, decided once for every (layer, weights, types) and remembered."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from lowbit.kernels.conv2d.selection.decide import Decisions, decide
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.targets import Target

__all__ = ["Remembered"]

_Key: TypeAlias = "tuple[ConvProblem, str, tuple[int, ...], bytes, int]"

_BYTES = 256 << 20


@dataclass(eq=False)
class Remembered:
    """A ``Decider``: plans of a search share most of their layers.

    ``limit``: bytes of weights whose choices are remembered (a choice may keep them alive); those asked for longest ago are
    forgotten first.  ``decisions`` must answer alike whenever they are asked."""

    limit: int = _BYTES
    _known: OrderedDict[_Key, tuple[Choice, bool, int]] = field(default_factory=OrderedDict)
    _held: int = 0

    def __call__(
        self, problem: ConvProblem, weights: np.ndarray, target: Target, decisions: Decisions | None = None
    ) -> tuple[Choice, bool]:
        weights = np.ascontiguousarray(weights)
        # decisions are named by their identity: whoever keeps this keeps them
        key = (problem, f"{target.name} {weights.dtype}", weights.shape, hashlib.blake2b(weights.data).digest(), id(decisions))
        if key in self._known:
            self._known.move_to_end(key)
            choice, tuned, _ = self._known[key]
            return choice, tuned
        choice, tuned = decide(problem, weights, target, decisions)
        self._known[key] = choice, tuned, weights.nbytes
        self._held += weights.nbytes
        while self._held > self.limit:
            _, (_, _, size) = self._known.popitem(last=False)
            self._held -= size
        return choice, tuned
