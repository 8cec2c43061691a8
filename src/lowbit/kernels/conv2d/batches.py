"""The steps of a run in batches, whose inputs are loaded at once (TensorIR; ``Arithmetic.batch``).

Where K is cut into blocks (``ConvSpec.depth``), a block is either as long as several batches, or there are
several blocks in a batch.  Of the latter each pixel and vector finishes one block before the next one begins:
its narrow accumulators then live for a few instructions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.loops import hidden, loop
from lowbit.kernels.vectors import load, pinned, store

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.tile import Tile

__all__ = ["walk_batches"]


def walk_batches(tile: Tile, pixels: list[Any], first: Any, steps: int, per_step: int) -> None:
    """All steps of one run, whose inputs start at ``pixels`` and whose weights at step ``first``."""
    _Walk(tile, pixels, first, per_step).run(steps)


class _Walk:
    def __init__(self, tile: Tile, pixels: list[Any], first: Any, per_step: int) -> None:
        self.tile, self.pixels, self.first, self.per_step = tile, pixels, first, per_step
        self.spec, self.ops = tile.spec, tile.ops
        self.depth = tile.spec.depth if tile.blocked else 0

    def run(self, steps: int) -> None:
        batch = self.ops.batch
        if self.depth < batch:
            self._batches(0, steps)
            return
        blocks, rest = divmod(steps, self.depth)
        if blocks:
            with loop(blocks) as block, self.tile.block():
                self._batches(block * self.depth, self.depth)
        if rest:
            with self.tile.block():
                self._batches(blocks * self.depth, rest)

    def _batches(self, start: Any, steps: int) -> None:
        batch = self.ops.batch
        whole, rest = divmod(steps, batch)
        for first, count, length in ((0, whole, batch), (whole * batch, 1, rest)):
            if count and length:
                with TB.serial(hidden(count, 0)) as index:  # a loop of one batch, too: LLVM would mix it with what follows
                    self._batch(start + first + index * length, length)

    def _batch(self, start: Any, count: int) -> None:
        assert self.ops.spreads is not None
        inputs = [self.ops.spreads(self.tile.kernel, pixel + start * self.per_step) for pixel in self.pixels]
        if 0 < self.depth < self.ops.batch:
            for block in range(0, count, self.depth):
                self._short_block(inputs, start, range(block, min(block + self.depth, count)))
            return
        for step in range(count):
            weights = self._weights(start, [step])
            for i, value in enumerate(inputs):
                self._add(i, [TB.Bind(value(step))], weights)

    def _short_block(self, inputs: list[Any], start: Any, steps: range) -> None:
        weights = self._weights(start, steps)
        for i, value in enumerate(inputs):
            values = [TB.Bind(value(step)) for step in steps]
            for j in range(self.tile.vectors):
                for buffer in self._narrow(i, j):
                    store(buffer, 0, self.ops.zero, self.tile.width)
                self._add(i, values, weights, [j])
                self.tile.flush_cells([(i, j)])
                self._pin(i, j)

    def _pin(self, i: int, j: int) -> None:
        """Else LLVM reassociates the sums of all blocks, adds them up at the end and spills what waits for it."""
        if self.tile.sum == "int32":
            buffer, lanes = self.tile.sums[i, j, 0], self.tile.sum_lanes
            store(buffer, 0, pinned(load(buffer, 0, lanes), "int32", lanes), lanes)

    def _weights(self, start: Any, steps: Any) -> list[dict[tuple[int, int], Any]]:
        """Of each step: (vector, part) -> its weights."""
        elements, parts = self.ops.weight[1], self.spec.parts
        across = self.spec.nr // self.ops.lanes
        return [
            {
                (j, p): TB.Bind(load(self.tile.kernel.w, at + (p * across + j) * elements, elements))
                for j in range(self.tile.vectors)
                for p in range(parts)
            }
            for step in steps
            for at in [TB.Bind((self.first + start + step) * (parts * across * elements))]
        ]

    def _add(self, i: int, values: list[Any], weights: list[dict[tuple[int, int], Any]], vectors: Any = None) -> None:
        """One step for each of ``values``, to pixel i."""
        width = self.tile.width
        for value, row in zip(values, weights, strict=True):
            for j in range(self.tile.vectors) if vectors is None else vectors:
                for p, buffer in enumerate(self._narrow(i, j)):
                    store(buffer, 0, self.ops.step(load(buffer, 0, width), value, row[j, p]), width)

    def _narrow(self, i: int, j: int) -> Iterator[Any]:
        return (self.tile.narrow[i, j, p] for p in range(self.spec.parts))
