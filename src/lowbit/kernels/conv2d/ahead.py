"""What a tile of a convolution fetches ahead: the inputs of the next tile, and the lines it will write itself (TensorIR)."""

from __future__ import annotations

from typing import Any

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.prefetch import LINE, fetch, is_far
from lowbit.targets import Target

__all__ = ["Ahead"]


class Ahead:
    """``steps``: of the K loop.  Inputs only of kernels of one tap and stride 1: others meet theirs again from row to row."""

    def __init__(self, kernel: KernelFrame, spec: ConvSpec, target: Target, mr: int, steps: int) -> None:
        self.kernel = kernel
        pointwise = spec.taps == 1 and tuple(spec.stride) == (1, 1) and not spec.window
        self.read = pointwise and is_far(spec.src, target)
        self.written = is_far(spec.dst, target)
        self.added = spec.residual is not None and is_far(spec.residual, target)
        self.tile = mr * spec.src.stride  # elements from one tile to the next
        self.lines = -(-self.tile // (LINE * steps))  # a step

    @property
    def far(self) -> bool:
        """Whether there are results to fetch."""
        return self.written or self.added

    def inputs(self, first: Any, step: Any) -> None:
        """The part for this step of the K loop of the tile behind the one at element ``first``."""
        for line in range(self.lines if self.read else 0):
            fetch(self.kernel.x, first + self.tile + (step * self.lines + line) * LINE)

    def results(self, to: list[Any], residual: list[Any], channels: int) -> None:
        """The lines of ``channels`` results at the elements ``to``, and of what is added to them."""
        if self.written:
            _fetch_all(self.kernel.o, to, channels)
        if self.added:
            _fetch_all(self.kernel.r, residual, channels)


def _fetch_all(buffer: Any, places: list[Any], channels: int) -> None:
    for place in places:
        for channel in range(0, channels, LINE):
            fetch(buffer, place + channel, nearest=True)
