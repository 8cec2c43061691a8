"""What kernels on tiles do between their instructions on tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.intrinsics.amx import Tiles
from lowbit.kernels.prefetch import fetch

__all__ = ["Ahead", "Spread"]

_LINE, _MOST_LINES = 64, 32  # bytes; lines a step
_NEAR = 1 << 16  # bytes of weights that need no prefetch


class Spread:
    """Tiles between whose instructions something else is done: the next ``each`` of ``others`` after every one."""

    def __init__(self, tiles: Tiles, others: Iterator[Callable[[], None]], each: int) -> None:
        self._tiles, self._others, self._each = tiles, others, each

    def zero(self, tile: int) -> None:
        self._tiles.zero(tile)
        self._between()

    def load(self, tile: int, buffer: Any, offset: Any, stride: int) -> None:
        self._tiles.load(tile, buffer, offset, stride)
        self._between()

    def store(self, tile: int, buffer: Any, offset: Any, stride: int) -> None:
        self._tiles.store(tile, buffer, offset, stride)
        self._between()

    def multiply(self, sums: int, a: int, b: int, a_signed: bool, b_signed: bool) -> None:
        self._tiles.multiply(sums, a, b, a_signed, b_signed)
        self._between()

    def _between(self) -> None:
        for other in islice(self._others, self._each):
            other()


class Ahead:
    """Prefetches of the next group's weights, spread over the steps of a unit's pixels.  Behind the last group lie the weights
    of whoever runs next, or nothing, which does no harm."""

    def __init__(self, kernel: KernelFrame, first: Any, size: int, steps: int) -> None:
        self.kernel, self.first, self.size, self.steps, self.lines = kernel, first, size, steps, 0

    def share(self, p: Any, chunks: int, pixels: int, whole: int) -> None:
        """Every chunk of every one of ``pixels`` groups of pixels, this the p-th, takes a part; nobody where the ``whole``
        weights stay in the level-2 cache anyway."""
        slots = chunks * pixels * self.steps
        if whole > _NEAR and slots:
            self.lines = min(-(-self.size // _LINE // slots), _MOST_LINES)
            self.start = TB.Bind(self.first + p * (chunks * self.steps * self.lines * _LINE))

    def emit(self, chunk: int, step: Any) -> None:
        for line in range(self.lines):
            at = (chunk * self.steps + step) * self.lines + line
            fetch(self.kernel.w, self.start + at * _LINE)
