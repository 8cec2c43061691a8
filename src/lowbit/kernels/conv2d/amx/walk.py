"""Which output pixels the rows of a tile are: all rows of a tile are equally far apart in the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import Layout

__all__ = ["MOST_ROWS", "Walk", "even", "few_tiles", "walk_of"]

MOST_ROWS = 16


@dataclass(frozen=True)
class Walk:
    """``lines`` of ``length`` positions each, of which a tile takes ``rows`` that follow one another; the last tile of a line
    overlaps the one before it.

    ``grid`` None: a line is a row of output pixels.  Else there is one line of all positions of grids (height, width), one grid
    an image: those within the output are its pixels, the others belong to the halo and are computed for nothing.
    """

    lines: int
    length: int
    rows: int
    grid: tuple[int, int] | None = None

    @property
    def tiles_a_line(self) -> int:
        return -(-self.length // self.rows)

    @property
    def tiles(self) -> int:
        return self.lines * self.tiles_a_line


def even(at: ConvGeometry) -> bool:
    """Whether all output pixels are equally far apart in the input."""
    step, row, image = at.stride[1], at.stride[0] * at.src.wp, at.src.hp * at.src.wp
    dst = at.dst
    return (dst.h == 1 or row == dst.w * step) and (dst.n == 1 or image == dst.h * dst.w * step)


@cache
def walk_of(src: Layout, dst: Layout, stride: tuple[int, int], rows: int) -> Walk | None:
    """The walk with the fewest tiles of ``rows`` rows; None where no line has so many positions.

    Over the whole output where it is :func:`even`; over the input with its halo where the stride is 1; else row by row."""
    at = ConvGeometry(src=src, dst=dst, kernel=(1, 1), stride=stride, dilation=(1, 1), padding=(0, 0))
    found = []
    if even(at):
        found.append(Walk(1, dst.pixels, rows, (dst.h, dst.w)))
    found.append(Walk(dst.n * dst.h, dst.w, rows))
    if stride == (1, 1):
        found.append(Walk(1, ((dst.n - 1) * src.hp + dst.h - 1) * src.wp + dst.w, rows, (src.hp, src.wp)))
    possible = [walk for walk in found if walk.length >= rows]
    return min(possible, key=lambda walk: walk.tiles, default=None)


def few_tiles(src: Layout, dst: Layout, stride: tuple[int, int], most: int) -> bool:
    """Whether some walk needs at most so many tiles."""
    walks = (walk_of(src, dst, stride, rows) for rows in range(1, MOST_ROWS + 1))
    return any(walk is not None and walk.tiles <= most for walk in walks)
