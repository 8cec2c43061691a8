"""The steps of a run in batches, whose inputs are loaded at once (TensorIR; ``Arithmetic.batch``).

Where K is cut into blocks (``ConvSpec.depth``), a block is either as long as several batches, or there are
several blocks in a batch.  Of the latter each pixel and vector finishes one block before the next one begins:
its narrow accumulators then live for a few instructions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.loops import hidden, loop, wide
from lowbit.kernels.vectors import keep_order, load, pinned, store

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.tile import Tile

__all__ = ["walk_batches"]


def walk_batches(tile: Tile, pixels: list[Any], first: Any, steps: int, per_step: int) -> None:
    """All steps of one run, whose inputs start at ``pixels`` and whose weights at step ``first``."""
    _Walk(tile, pixels, first, per_step).run(steps)


class _Walk:
    def __init__(self, tile: Tile, pixels: list[Any], first: Any, per_step: int) -> None:
        self.tile, self.per_step = tile, per_step
        self.pixels, self.first = [TB.Bind(wide(pixel)) for pixel in pixels], TB.Bind(wide(first))
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
        at = [pixel + wide(start) * self.per_step for pixel in self.pixels]
        inputs = [self.ops.spreads(self.tile.kernel, pixel) for pixel in at]
        for buffer, pixel in zip(self.tile.beside, at, strict=False):
            assert self.ops.beside is not None
            store(buffer, 0, load(buffer, 0, 4) + self.ops.beside(self.tile.kernel, pixel, count), 4)
        if 0 < self.depth < self.ops.batch:
            for block in range(0, count, self.depth):
                self._short_block(inputs, start, range(block, min(block + self.depth, count)))
            return
        for step in range(count):
            weights = self._weights(start, [step])
            self._after(weights[0])
            for i, value in enumerate(inputs):
                self._add(i, [self._bound(value(step))], weights)
            keep_order(load(self._last(i), 0, self.tile.width))

    def _short_block(self, inputs: list[Any], start: Any, steps: range) -> None:
        weights = self._weights(start, steps)
        self._after(weights[-1])
        for i, value in enumerate(inputs):
            values = [self._bound(value(step)) for step in steps]
            for j in range(self.tile.vectors):
                for buffer in self._narrow(i, j):
                    store(buffer, 0, self.ops.zero, self.tile.width)
                self._add(i, values, weights, [j])
                self.tile.flush_cells([(i, j)])
                self._pin(i, j)
            keep_order(load(self.tile.sums[i, self.tile.vectors - 1, 0], 0, self.tile.sum_lanes))

    def _after(self, weights: dict[tuple[int, int], Any]) -> None:
        """What follows stays behind the loads of the weights."""
        last = weights[self.tile.vectors - 1, self.spec.parts - 1]
        keep_order(last[-1] if self.ops.rows > 1 else last)

    def _bound(self, value: Any) -> Any:
        return tuple(TB.Bind(part) for part in value) if self.ops.rows > 1 else TB.Bind(value)

    def _last(self, i: int) -> Any:
        return self.tile.narrow[i, self.tile.vectors - 1, self.spec.parts - 1]

    def _pin(self, i: int, j: int) -> None:
        """Else LLVM reassociates the sums of all blocks, adds them up at the end and spills what waits for it."""
        if self.tile.sum == "int32":
            buffer, lanes = self.tile.sums[i, j, 0], self.tile.sum_lanes
            store(buffer, 0, pinned(load(buffer, 0, lanes), "int32", lanes), lanes)

    def _weights(self, start: Any, steps: Any) -> list[dict[tuple[int, int], Any]]:
        """Of each step: (vector, part) -> its weights."""
        elements, parts, rows = self.ops.weight[1], self.spec.parts, self.ops.rows
        across = self.spec.nr // self.ops.lanes

        def vectors(at: Any, j: int, p: int) -> Any:
            places = [at + ((p * rows + r) * across + j) * elements for r in range(rows)]
            loaded = tuple(TB.Bind(load(self.tile.kernel.w, place, elements)) for place in places)
            return loaded if rows > 1 else loaded[0]

        return [
            {(j, p): vectors(at, j, p) for j in range(self.tile.vectors) for p in range(parts)}
            for step in steps
            for at in [TB.Bind((self.first + wide(start) + step) * (parts * rows * across * elements))]
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
