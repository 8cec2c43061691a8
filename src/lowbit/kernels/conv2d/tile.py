"""One register tile: mr pixels x nr output channels, its accumulators and its K loop (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.ahead import Ahead
from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.batches import walk_batches
from lowbit.kernels.conv2d.loops import FEW, hidden, loop
from lowbit.kernels.conv2d.mixed import walk_mixed
from lowbit.kernels.conv2d.runs import Runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.vectors import LANES, convert, load, splat, store

__all__ = ["Tile"]

_UNROLL = 8  # steps of a block unrolled here; longer blocks are loops


class Tile:
    """``vectors`` of the panel's nr channels are computed (fewer in the last block of a layer).

    Steps add to accumulators of the form's narrow type.  Where K is cut into blocks (``ConvSpec.depth``),
    each block ends by adding them to int32 or float64 sums.  Accumulators are one small TIR buffer a
    vector: LLVM promotes them to registers, and buffers of 1024 bytes and more cannot be lowered.

    A form whose K loop is another overrides :meth:`walk`, and ``entries``: rows of the panel a step has at most.
    """

    entries: ClassVar[int] = 1

    def __init__(
        self,
        kernel: KernelFrame,
        spec: ConvSpec,
        ops: Arithmetic,
        runs: Runs,
        vectors: int,
        mr: int,
        ahead: Ahead | None = None,
    ) -> None:
        self.kernel, self.spec, self.ops, self.runs = kernel, spec, ops, runs
        self.vectors, self.ahead = vectors, ahead
        self.blocked = spec.wide or spec.depth > 1 or ops.bytes is not None
        dtype, width = ops.narrow.split("x")
        self.width = int(width)
        self.cells = [(i, j) for i in range(mr) for j in range(vectors)]
        self.narrow = {(i, j, p): _vector(dtype, self.width) for i, j in self.cells for p in range(spec.parts)}
        self.beside = [_vector("int32", 4) for _ in range(mr)] if ops.beside else []
        self.sum = "uint16" if ops.bytes else "float64" if spec.wide else "int32"
        self.sum_lanes = self.width // 2 if ops.bytes else ops.lanes
        kept = [(cell, half) for cell in self.cells for half in range(2 if ops.bytes else 1)] if self.blocked else []
        self.sums = {(*cell, half): _vector(self.sum, self.sum_lanes) for cell, half in kept}

    def compute(self, pixels: list[Any], panel: Any, block: Any, starts: list[Any] | None = None) -> None:
        """The whole K loop.  ``pixels``: element offset of each input's first tap; ``panel``: index of
        the block's first step among all; ``block``: index of the channel block; ``starts``: int32 that all
        sums of each pixel start from."""
        for (_, _, half), buffer in self.sums.items():
            zero = self.ops.bytes.first(self._blocks_of_k())[half] if self.ops.bytes else 0.0 if self.spec.wide else 0
            store(buffer, 0, splat(zero, self.sum, self.sum_lanes), self.sum_lanes)
        if not self.blocked and starts is None:
            self._clear()
        for i, value in enumerate(starts or []):
            for j in range(self.vectors):
                store(self.narrow[i, j, 0], 0, splat(value, "int32", self.width), self.width)
        for buffer in self.beside:
            store(buffer, 0, splat(0, "int32", 4), 4)
        if self.blocked and self.spec.depth == 0:
            with self.block():
                self.walk(pixels, panel, block)
        else:
            self.walk(pixels, panel, block)

    def results(self, i: int) -> Iterator[tuple[int, Any]]:
        """(first channel within the block, total x 16, or x nr where a tile has fewer channels) of pixel i."""
        lanes = self.ops.lanes
        if self.ops.bytes:
            for j in range(self.vectors):
                halves = [load(self.sums[i, j, half], 0, self.sum_lanes) for half in range(2)]
                for first, whole in self.ops.bytes.totals(*halves):
                    yield j * lanes + first, whole
            return
        group = min(LANES, self.spec.nr) // lanes
        for first in range(0, self.vectors, group):
            parts = [self._total(i, j) for j in range(first, first + group)]
            whole = parts[0] if group == 1 else tirx.Shuffle(parts, [tirx.IntImm("int32", n) for n in range(LANES)])
            yield first * lanes, whole

    def _total(self, i: int, j: int) -> Any:
        lanes = self.ops.lanes
        total = load(self.sums[i, j, 0], 0, lanes) if self.blocked else self.ops.total(load(self.narrow[i, j, 0], 0, self.width))
        if not self.beside:
            return total
        beside = T.call_llvm_pure_intrin("int32", "llvm.vector.reduce.add", load(self.beside[i], 0, 4))
        return total - splat(beside, "int32", lanes)

    def _clear(self) -> None:
        for buffer in self.narrow.values():
            store(buffer, 0, self.ops.zero, self.width)

    def step(self, offsets: list[Any], row: Any, ops: Arithmetic | None = None) -> None:
        """One step over all pixels, with the weights from ``row`` of the panels on; ``ops``: others than the tile's."""
        ops = ops or self.ops
        elements = ops.weight[1]
        across, rows = self.spec.nr // ops.lanes, ops.rows
        start = TB.Bind(row * (self.spec.parts * across * elements))
        weights: dict[tuple[int, int], Any] = {}
        for i, offset in enumerate(offsets):
            a = ops.spread(self.kernel, offset)
            a = tuple(TB.Bind(part) for part in a) if rows > 1 else TB.Bind(a)
            for j in range(self.vectors):
                for p in range(self.spec.parts):
                    if i == 0:
                        at = [start + ((p * rows + r) * across + j) * elements for r in range(rows)]
                        vectors = tuple(TB.Bind(load(self.kernel.w, position, elements)) for position in at)
                        weights[j, p] = vectors if rows > 1 else vectors[0]
                    buffer = self.narrow[i, j, p]
                    store(buffer, 0, ops.step(load(buffer, 0, self.width), a, weights[j, p]), self.width)

    def _flush(self) -> None:
        """Add the block's narrow accumulators to the sums: 256 * high + low where there are two parts."""
        self.flush_cells(self.cells)

    def flush_cells(self, cells: list[tuple[int, int]]) -> None:
        """:meth:`_flush` of some (pixel, vector) alone."""
        lanes = self.ops.lanes
        for i, j in cells:
            if self.ops.bytes:
                for half, term in enumerate(self.ops.bytes.terms(load(self.narrow[i, j, 0], 0, self.width))):
                    buffer = self.sums[i, j, half]
                    store(buffer, 0, load(buffer, 0, self.sum_lanes) + term, self.sum_lanes)
                continue
            parts = [self.ops.total(load(self.narrow[i, j, p], 0, self.width)) for p in range(self.spec.parts)]
            if self.spec.wide:
                parts = [convert(part, "float64", lanes) for part in parts]
            value = parts[0] if len(parts) == 1 else parts[0] * splat(256.0, "float64", lanes) + parts[1]
            store(self.sums[i, j, 0], 0, load(self.sums[i, j, 0], 0, lanes) + value, lanes)

    def _blocks_of_k(self) -> int:
        depth, steps = self.spec.depth, self.runs.steps(self.spec.k_group)
        return self.runs.count * -(-steps // depth) if depth else 1

    @contextmanager
    def block(self) -> Iterator[None]:
        self._clear()
        yield
        self._flush()

    def walk(self, pixels: list[Any], panel: Any, block: Any) -> None:
        """Steps in memory order: kernel rows, taps, then the run's values; arguments as of :meth:`compute`."""
        spec, runs = self.spec, self.runs
        steps = runs.steps(spec.k_group)
        row_pitch = spec.dilation[0] * spec.src.wp * spec.src.stride
        column_pitch = spec.dilation[1] * spec.src.stride
        per_step = spec.k_group // 8 if spec.src.dtype == "bits" else spec.k_group
        with loop(runs.rows) as ky, loop(runs.columns) as kx:
            tap = ky * row_pitch + kx * column_pitch
            first = panel + (ky * runs.columns + kx) * steps
            if self.ops.batch > 1:
                walk_batches(self, [pixel + tap for pixel in pixels], first, steps, per_step)
                return

            if self.ops.alone is not None:
                walk_mixed(self, [pixel + tap for pixel in pixels], first, steps, per_step)
                return

            def one(k: Any) -> None:
                if self.ahead is not None:
                    self.ahead.inputs(pixels[0], k)
                self.step([pixel + tap + k * per_step for pixel in pixels], (first + k) * self.ops.rows)

            if not self.blocked or spec.depth == 0:
                with TB.serial(hidden(steps)) as k:
                    one(k)
                return
            full, rest = divmod(steps, spec.depth)
            if full:
                with loop(full) as block, self.block():
                    self._repeat(one, block * spec.depth, spec.depth)
            if rest:
                with self.block():
                    self._repeat(one, full * spec.depth, rest)

    def _repeat(self, step: Callable[[Any], None], start: Any, count: int) -> None:
        if count <= (FEW if self.ops.bytes else _UNROLL):
            for k in range(count):
                step(start + k)
        else:  # look-ups read their tables long before their use when unrolled, and spill
            with TB.serial(hidden(count) if self.ops.bytes else count) as k:
                step(start + k)


def _vector(dtype: str, lanes: int) -> Any:
    return TB.alloc_buffer((lanes,), dtype, scope="global")
