"""The calibration rows that are kept themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lowbit.errors import ConfigError
from lowbit.graph import Graph

__all__ = ["KEPT_BYTES", "KEPT_ROWS", "Keep"]

KEPT_ROWS, KEPT_BYTES = 2048, 256 << 20
"""What is kept unless the caller says how many rows: whichever is less."""


class Keep:
    """The first rows of what goes by.  ``rows``: how many; None: KEPT_ROWS of at most KEPT_BYTES together.

    Inputs without a common first axis have no rows: nothing is kept of them.  Raises ConfigError for a number below 0."""

    def __init__(self, graph: Graph, rows: int | None) -> None:
        if rows is not None and (type(rows) is not int or rows < 0):
            raise ConfigError(f"keep is a number of rows from 0 on, or None for the default, not {rows!r}")
        shapes = [graph.types[name].shape for name in graph.inputs]
        common = len({shape[:1] for shape in shapes}) == 1 and shapes[0] != ()
        size = 4 * sum(math.prod(shape[1:]) for shape in shapes)
        self._room = (min(KEPT_ROWS, KEPT_BYTES // max(size, 1)) if rows is None else rows) if common else 0
        self._parts: list[list[np.ndarray]] = [[] for _ in shapes]

    def add(self, inputs: Sequence[np.ndarray], real: int) -> None:
        """One batch, of which the first ``real`` rows count."""
        count = min(real, self._room)
        if count:
            self._room -= count
            for parts, value in zip(self._parts, inputs, strict=True):
                parts.append(np.array(value[:count], np.float32))

    def samples(self) -> tuple[np.ndarray, ...]:
        """One array per graph input; empty where nothing was kept."""
        return tuple(np.concatenate(parts) for parts in self._parts) if all(self._parts) else ()
