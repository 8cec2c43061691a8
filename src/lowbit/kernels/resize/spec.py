"""What a resizing kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["ResizeSpec"]


@dataclass(frozen=True, kw_only=True)
class ResizeSpec(KernelSpec):
    """Every result is a weighted sum of ``taps`` (rows, columns) pixels: those from row t[y] and from column t[h + x] on
    (h, w: of dst), with weights w = [row[h][taps] | column[w][taps]].

    integer: int32 weights; acc = sum row * column * stored, over the rows in int32, then over the columns in int32
             (``wide``: float64), exact; f = f32(acc * step + shift) * m, s = [step, shift, lo, hi, zero, m]
    float:   float32 weights; f = acc
    units = output rows (n * h)."""

    kind: ClassVar[str] = "resize"
    src: Layout
    dst: Layout
    taps: tuple[int, int]
    sign: bool = False
    wide: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def lanes(self) -> int:
        """Channels of a pixel that are computed, in whole vectors."""
        return -(-min(self.src.stride, self.dst.stride) // 16) * 16

    @property
    def scratch_bytes(self) -> int:
        return 4 * self.src.w * self.lanes

    @property
    def label(self) -> str:
        return f"resize_{self.src.dtype}_{self.dst.dtype}{'_f64' if self.wide else ''}_{self.taps[0]}x{self.taps[1]}"
