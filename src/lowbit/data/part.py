"""Which samples of a source: so that what calibrates and what judges are never the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """The positions i with (i mod ``period`` = 0) = ``first``, the first ``limit`` of them (None: all).

    Period 1 takes everything.  Two parts of one period > 1, one with ``first`` and one without, share no position, and say
    so without knowing how many there are.
    """

    period: int = 1
    first: bool = True
    limit: int | None = None

    def holds(self, positions: np.ndarray) -> np.ndarray:
        """bool of the shape of ``positions``; ``limit`` left aside."""
        return (positions % self.period == 0) == self.first

    def of(self, count: int) -> np.ndarray:
        """All its positions below ``count``, int64, rising."""
        positions = np.arange(count)
        return positions[self.holds(positions)][: self.limit]
