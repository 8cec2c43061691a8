"""How a row of output pixels is cut into tiles."""

from __future__ import annotations

from lowbit.targets import Target

__all__ = ["column_readers", "tile_width"]


def tile_width(row: int, vectors_a_row: int, target: Target) -> int:
    """Output pixels a tile: as many as leave registers for the weights of one kernel row, and of these
    the count that computes the fewest pixels twice (the last tile of a row overlaps the one before).

    ``vectors_a_row``: weight vectors of one kernel row, times the parts of a wide weight.
    """
    registers = target.registers * target.vector_bytes // 64  # of sixteen 32-bit lanes
    most = max(1, min(row, 8, registers - vectors_a_row - 2))
    return min(range(max(1, most // 2), most + 1), key=lambda width: (-(-row // width) * width, -width))


def column_readers(width: int, taps: int, stride: int, dilation: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """For every input column of a tile, in order, the (output pixel, tap) pairs that read it.

    column = pixel * stride + tap * dilation, counted from the first pixel's first tap.
    """
    readers: dict[int, list[tuple[int, int]]] = {}
    for pixel in range(width):
        for tap in range(taps):
            readers.setdefault(pixel * stride + tap * dilation, []).append((pixel, tap))
    return sorted(readers.items())
