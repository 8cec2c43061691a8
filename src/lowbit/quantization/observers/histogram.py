"""A histogram that grows with the range of what it sees."""

from __future__ import annotations

from copy import copy

import numpy as np

__all__ = ["BINS", "Histogram"]

BINS = 4096  # after growing, at least half of them span the range: 8 bins a step for 8 bits
_DECAY = 0.99  # of a row's weight in the average range, with every row that follows
_MOST = 1 << 18  # values binned of one tensor; minimum and maximum are taken of all


class Histogram:
    """Counts of values in BINS equal bins from ``origin`` on, with the exact minimum and maximum, and those of what is added
    at once (a row) as moving averages.

    The range grows by doubling the bin width, which merges neighbouring bins without spreading
    their counts.  Memory is constant.  Of a large tensor every k-th value is counted.
    """

    def __init__(self) -> None:
        self.minimum = np.inf
        self.maximum = -np.inf
        self.origin = 0.0
        self.width = 0.0
        self.counts = np.zeros(BINS)
        self.average_minimum = np.inf
        self.average_maximum = -np.inf

    def add(self, values: np.ndarray, weight: float = 1.0) -> None:
        """Counts finite ``values`` (any shape), each ``weight`` times."""
        x = values.reshape(-1)
        if not x.size:
            return
        lo, hi = float(x.min()), float(x.max())
        constant = self.minimum if self.minimum == self.maximum else None
        self.minimum, self.maximum = min(self.minimum, lo), max(self.maximum, hi)
        if weight:
            self._average(lo, hi)
        step = -(-x.size // _MOST)
        if step > 1:
            step |= 1  # an odd step visits every residue of the row lengths, which are mostly even
        x = x[::step].astype(np.float64)
        if self.width == 0.0:
            self._start()
        elif constant is not None and self.minimum < self.maximum:  # bins of a range, not of what was no range
            held, self.counts = self.counts.sum(), np.zeros(BINS)
            self._start()
            self.counts[int(min((constant - self.origin) / self.width, BINS - 1))] = held
        else:
            self._grow()
        index = np.clip((x - self.origin) / self.width, 0, BINS - 1).astype(np.int64)
        self.counts += weight * step * np.bincount(index, minlength=BINS)

    def _average(self, lo: float, hi: float) -> None:
        if self.average_minimum > self.average_maximum:
            self.average_minimum, self.average_maximum = lo, hi
        else:
            self.average_minimum += (1 - _DECAY) * (lo - self.average_minimum)
            self.average_maximum += (1 - _DECAY) * (hi - self.average_maximum)

    @property
    def centers(self) -> np.ndarray:
        return self.origin + self.width * (np.arange(BINS) + 0.5)

    def within(self, lo: float, hi: float) -> Histogram:
        """The same of min(max(x, lo), hi): what lies outside is counted at the ends.  lo < hi."""
        found = copy(self)
        found.minimum, found.average_minimum = (max(value, lo) for value in (self.minimum, self.average_minimum))
        found.maximum, found.average_maximum = (min(value, hi) for value in (self.maximum, self.average_maximum))
        index = np.clip((self.centers.clip(lo, hi) - self.origin) // max(self.width, 1e-45), 0, BINS - 1).astype(np.int64)
        found.counts = np.bincount(index, weights=self.counts, minlength=BINS).astype(np.float64)
        return found

    def _start(self) -> None:
        span = self.maximum - self.minimum
        self.origin = self.minimum
        self.width = max(span, abs(self.maximum) * 1e-6, 1e-45) / BINS

    def _grow(self) -> None:
        while self.minimum < self.origin or self.maximum > self.origin + self.width * BINS:
            merged = self.counts.reshape(-1, 2).sum(1)
            empty = np.zeros(BINS // 2)
            left = self.minimum < self.origin
            self.counts = np.concatenate([empty, merged] if left else [merged, empty])
            if left:
                self.origin -= self.width * BINS
            self.width *= 2
