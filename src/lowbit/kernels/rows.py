"""Walks over rows, pixels and channels of a Layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.layout import Layout
from lowbit.kernels.vectors import LANES

__all__ = ["channel_chunks", "divided", "row_position", "spans", "walk_row"]


def divided(value: Any, by: int) -> tuple[Any, Any]:
    """Quotient and remainder of a value that is never negative: C's division is then the exact one, and
    needs no code for the sign."""
    return T.truncdiv(value, T.int32(by)), T.truncmod(value, T.int32(by))


def row_position(row: Any, layout: Layout) -> tuple[Any, Any]:
    """Row number of n * h -> (image, y)."""
    if layout.n == 1:
        return T.int32(0), row
    return divided(row, layout.h)


def channel_chunks(readable: int, physical: int) -> Iterator[tuple[Any, int]]:
    """Loop over a pixel's ``physical`` channels, sixteen at a time; yields (first channel, how many
    of the sixteen are among the ``readable`` ones of the source).

    Whole chunks share one TIR loop; a partial one and the empty ones follow it.
    """
    full, part = divmod(min(readable, physical), LANES)
    if full:
        with TB.serial(full) as k:
            yield k * LANES, LANES
    if part:
        yield T.int32(full * LANES), part
    written = full + (1 if part else 0)
    if physical // LANES > written:
        with TB.serial(physical // LANES - written) as k:
            yield (k + written) * LANES, 0


def spans(extent: int, lanes: int) -> Iterator[tuple[Any, int]]:
    """Loop over [0, extent) in vectors; yields (first index, lanes).  The last vector overlaps the one
    before it (writing the same values twice) instead of leaving a tail; short extents go one by one."""
    if extent < lanes:
        with TB.serial(extent) as i:
            yield i, 1
        return
    with TB.serial(-(-extent // lanes)) as i:
        if extent % lanes == 0:
            yield i * lanes, lanes
        else:
            yield T.min(i * lanes, T.int32(extent - lanes)), lanes


def walk_row(row: Any, src: Layout, dst: Layout) -> Iterator[tuple[Any, Any, int]]:
    """Loop over all physical channels of a row of ``dst``; yields (source offset, destination offset,
    how many of the sixteen elements there belong to the source).  A row of equal channel strides is one
    contiguous run."""
    image, y = row_position(row, dst)
    if src.stride == dst.stride:
        with TB.serial(dst.w * dst.stride // LANES) as i:
            yield src.offset(image, y, 0, i * LANES), dst.offset(image, y, 0, i * LANES), LANES
        return
    with TB.serial(dst.w) as x:
        for c0, valid in channel_chunks(src.stride, dst.stride):
            yield src.offset(image, y, x, c0), dst.offset(image, y, x, c0), valid
