"""What an argmax kernel computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec

__all__ = ["ArgmaxSpec"]


@dataclass(frozen=True, kw_only=True)
class ArgmaxSpec(KernelSpec):
    """The first position of the largest (``least``: smallest) stored element among the c logical channels of each pixel; of
    floats the first NaN's, if there is one.

    dst: i32, the same pixels; the position is its channel 0, no other channel is written.  units = rows (n * h)."""

    kind: ClassVar[str] = "argmax"
    src: Layout
    dst: Layout
    least: bool = False

    @property
    def units(self) -> int:
        return self.dst.n * self.dst.h

    @property
    def label(self) -> str:
        return f"{'argmin' if self.least else 'argmax'}_{self.src.dtype}"
