"""Static memory plan: every activation gets an offset in one arena, reused over time."""

from __future__ import annotations

from dataclasses import replace

from lowbit.lowering.constants import align
from lowbit.lowering.program import Buffer

__all__ = ["plan_memory", "with_own_memory"]

SLACK = 64  # bytes a kernel may read past the end of a buffer (see kernels/layout.py)


def plan_memory(buffers: list[Buffer]) -> tuple[tuple[Buffer, ...], int]:
    """Buffers with offsets, and the size of the arena in bytes.

    Greedy by size (Pisarchyk and Lee, "Efficient memory management for deep neural net inference",
    2020, section 5.2): the largest buffer first, each at the smallest offset where it overlaps no
    placed buffer whose lifetime [first, last] intersects its own.  Kernels declare their pointers as
    non-aliasing, so an input and an output of the same call never share memory.
    """
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.layout.nbytes, b.first, b.name)):
        size = align(buffer.layout.nbytes + SLACK)
        offset = 0
        for other in sorted(placed, key=lambda b: b.offset):
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + align(other.layout.nbytes + SLACK))
        placed.append(replace(buffer, offset=offset))
    by_name = {b.name: b for b in placed}
    arena = max((b.offset + align(b.layout.nbytes + SLACK) for b in placed), default=0)
    return tuple(by_name[b.name] for b in buffers), arena


def with_own_memory(buffers: list[Buffer], names: set[str]) -> list[Buffer]:
    """``buffers`` of which those in ``names`` share memory with no other: what surrounds their elements is then written once,
    when a network is opened, and not in each run."""
    first, last = min((b.first for b in buffers), default=0), max((b.last for b in buffers), default=0)
    return [replace(b, first=first, last=last) if b.name in names else b for b in buffers]
