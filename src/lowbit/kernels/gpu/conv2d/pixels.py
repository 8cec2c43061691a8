"""Where the pixels of a tile lie: output pixel p of n * h * w -> numbers of pixels in memory."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.layout import Layout
from lowbit.kernels.rows import divided

__all__ = ["Pixel", "Place"]

Place = tuple[Any, Any, Any]
"""(image, y, x)"""


class Pixel:
    """Numbers count whole pixels from the start of a buffer, halos included; divisions are made once, and only where they are
    needed."""

    def __init__(self, at: ConvGeometry, p: Any) -> None:
        self.at, self.p = at, p
        self._place: Place | None = None

    @property
    def place(self) -> Place:
        if self._place is None:
            dst = self.at.dst
            row, x = divided(self.p, dst.w)
            image, y = (T.int32(0), row) if dst.n == 1 else divided(row, dst.h)
            self._place = TB.Bind(image), TB.Bind(y), TB.Bind(x)
        return self._place

    def input(self) -> Any:
        """Of the first tap."""
        at = self.at
        if at.stride == (1, 1) and at.origin == (0, 0) and self._same(at.src):
            return self.p
        image, y, x = self.place
        top, left = at.origin
        return TB.Bind((image * at.src.hp + y * at.stride[0] + top) * at.src.wp + x * at.stride[1] + left)

    def of(self, layout: Layout | None) -> Any:
        """In a layout with the output's pixels; 0 without one."""
        if layout is None:
            return 0
        if self._same(layout):
            return self.p
        image, y, x = self.place
        return TB.Bind((image * layout.hp + y + layout.top) * layout.wp + x + layout.left)

    def _same(self, layout: Layout) -> bool:
        dst = self.at.dst
        return (layout.n, layout.hp, layout.wp) == (dst.n, dst.h, dst.w)
