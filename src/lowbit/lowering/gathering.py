"""Copies whose source lies anywhere: as many neighbours at a time as there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowbit.graph import Node
from lowbit.kernels.data_movement.spec import GatherSpec
from lowbit.lowering.context import Lowering

__all__ = ["emit_gather"]

Axis = tuple[Sequence[int], int]  # where the source is at each index, stride of the destination
Piece = tuple[int, int, int]  # source, destination, elements

_PIECES = 4096  # of one unit
_UNITS = 16  # that keep the threads busy


def _with_axis(pieces: list[Piece], sources: Sequence[int], stride: int) -> list[Piece]:
    """The pieces at every index of one more axis; what continues the piece before it, on both sides, joins it."""
    joined: list[Piece] = []
    for index, offset in enumerate(sources):
        for src, dst, run in pieces:
            src, dst = src + offset, dst + index * stride
            if joined and (joined[-1][0] + joined[-1][2], joined[-1][1] + joined[-1][2]) == (src, dst):
                joined[-1] = (*joined[-1][:2], joined[-1][2] + run)
            else:
                joined.append((src, dst, run))
    return joined


def emit_gather(ctx: Lowering, node: Node, source: str, out: str, axes: Sequence[Axis], fill: int) -> None:
    """out[sum index * stride] = source[sum sources[index]] over the indices of all axes.

    Inner axes are pieces of a unit while these are few, the others make the units.  The destination is filled first where not
    all of its physical channels are written."""
    src, dst = ctx.layouts[source], ctx.layouts[out]
    inner = sorted(axes, key=lambda axis: (axis[1], -len(axis[0])))
    pieces: list[Piece] = [(0, 0, 1)]
    while inner:
        wider = _with_axis(pieces, *inner[0])
        left = int(np.prod([len(sources) for sources, _ in inner[1:]], dtype=np.int64))
        if len(wider) > _PIECES or (left < _UNITS and len(wider) > _UNITS):
            break
        pieces, inner = wider, inner[1:]
    units = [(0, 0)]
    for sources, stride in inner:
        units = [(a + offset, b + index * stride) for index, offset in enumerate(sources) for a, b in units]
    units.sort(key=lambda unit: unit[1])
    begin = src.offset(0, 0, 0, 0), dst.offset(0, 0, 0, 0)
    table = [(a + begin[0], b + begin[1]) for a, b in units]
    runs = {run for _, _, run in pieces}
    run = runs.pop() if len(runs) == 1 else 0
    listed = [piece[:2] if run else piece for piece in pieces]
    head = [len(pieces), 2 + 2 * len(table)]
    t = ctx.tables.add(np.array([*head, *np.ravel(table), *np.ravel(listed)], np.int32))
    covered = sum(run for _, _, run in pieces) * len(table) == dst.pixels * dst.stride
    spec = GatherSpec(dtype=dst.dtype, run=run)
    ctx.emit(node, spec, x=source, o=out, t=t, extent=len(table), fill=fill, fill_whole=not covered)
