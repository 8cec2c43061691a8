"""Where the pixels of a walk lie in memory, as expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.amx.plan import Plan
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.rows import divided, row_position

__all__ = ["Places"]


class Places:
    def __init__(self, spec: ConvSpec, plan: Plan) -> None:
        self.spec, self.walk = spec, plan.walk

    def position(self, tile: Any) -> tuple[Any, Any]:
        """(line, first position) of a tile."""
        walk = self.walk
        if walk.lines == 1:
            line, index = T.int32(0), tile
        elif walk.tiles_a_line == 1:
            line, index = tile, T.int32(0)
        else:
            line, index = divided(tile, walk.tiles_a_line)
        start = index * walk.rows
        return line, TB.Bind(T.min(start, T.int32(walk.length - walk.rows)) if walk.length % walk.rows else start)

    def pixel(self, line: Any, position: Any) -> tuple[Callable[[Layout], Any], Any]:
        """Where the pixel at a position begins in a layout, and whether it is one of the output, None = always."""
        walk, dst = self.walk, self.spec.dst
        if walk.grid is None:
            b, y = row_position(line, dst)
            return lambda layout: layout.offset(b, y, position, 0), None
        height, width = walk.grid
        row, x = divided(position, width)
        b, y = divided(row, height) if dst.n > 1 else (T.int32(0), row)
        whole = walk.grid == (dst.h, dst.w)

        def place(layout: Layout) -> Any:
            return position * layout.stride if whole and not layout.halo else layout.offset(b, y, x, 0)

        return place, None if whole else tirx.And(x < dst.w, y < dst.h)

    def first_input(self, tile: Any) -> Any:
        """Element offset of the first tap of a tile's first pixel."""
        spec, walk, src = self.spec, self.walk, self.spec.src
        line, start = self.position(tile)
        top, left = spec.padding
        if walk.grid is None:
            b, y = row_position(line, spec.dst)
            return TB.Bind(src.offset(b, y * spec.stride[0] - top, start * spec.stride[1] - left, 0))
        return TB.Bind(src.offset(0, -top, -left, 0) + start * (spec.stride[1] * src.stride))
