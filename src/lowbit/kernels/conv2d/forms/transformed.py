"""What forms must know of numbers transformed by Winograd's matrices (kernels/winograd/transforms.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from lowbit.kernels.winograd.transforms import MATRICES

__all__ = ["Facts", "Terms", "bytes_fit", "largest_inputs"]


@dataclass(frozen=True)
class Terms:
    """``offset``, ``depth``, ``first`` and ``second`` of WinogradSpec."""

    offset: int = 0
    depth: int = 1
    first: int = 0
    second: int = 0


class Facts:
    """What the proofs ask of the weights (N, 3, 3, C), each found once."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights
        self.transformed = cache(lambda m: MATRICES[m].weights(weights))

    @cached_property
    def reach(self) -> int:
        """The largest |sum| of a channel for inputs 0 .. 1."""
        wide = np.asarray(self._weights, np.int64)
        return int(max(np.maximum(side * wide, 0).sum((1, 2, 3)).max(initial=0) for side in (1, -1)))

    @cached_property
    def largest(self) -> int:
        return int(np.abs(np.asarray(self._weights, np.int64)).max(initial=0))


def bytes_fit(m: int, act_max: int, facts: Facts) -> bool:
    """Whether transformed inputs 0 .. act_max span at most a byte and transformed weights are signed bytes."""
    if m != 2 or 4 * act_max > 255:
        return False
    u = facts.transformed(m)
    return bool(u.min() >= -128 and u.max() <= 127)


def largest_inputs(m: int, act_max: int) -> np.ndarray:
    """Largest |V| at each position."""
    both = np.einsum("ik,jl->ijkl", MATRICES[m].bt, MATRICES[m].bt)
    return np.asarray(act_max * np.maximum(np.maximum(both, 0).sum((2, 3)), np.maximum(-both, 0).sum((2, 3))))
