"""Where the blocks of K begin whose products share a narrow accumulator."""

from __future__ import annotations

__all__ = ["block_starts"]


def block_starts(steps: int, depth: int, batch: int) -> list[int]:
    """First step of each block of a run of ``steps`` that is walked in batches (batches.py).  Blocks shorter than
    a batch begin anew with every batch."""
    if not depth:
        return [0]
    return [start for first in range(0, steps, max(depth, batch)) for start in range(first, min(first + batch, steps), depth)]
