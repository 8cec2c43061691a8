"""One register tile: mr pixels x nr output channels, its accumulators and its K loop (TensorIR)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame
from lowbit.kernels.conv2d.arithmetic import Arithmetic
from lowbit.kernels.conv2d.geometry import Runs
from lowbit.kernels.spec import ConvSpec
from lowbit.kernels.vectors import LANES, load, splat

__all__ = ["Tile"]

_UNROLL = 8  # steps of a block unrolled here; longer blocks are loops


class Tile:
    """``vectors`` of the panel's nr channels are computed (fewer in the last block of a layer).

    Accumulators are one small TIR buffer a vector: LLVM promotes them to registers, and buffers of
    1024 bytes and more are not lowered to the stack.
    """

    def __init__(self, kernel: KernelFrame, spec: ConvSpec, arithmetic: Arithmetic, runs: Runs, vectors: int, mr: int) -> None:
        self.kernel, self.spec, self.runs, self.ops = kernel, spec, runs, arithmetic
        self.vectors, self.mr = vectors, mr
        self.blocked = spec.wide or spec.depth != 1 and arithmetic.narrow != f"int32x{arithmetic.lanes}"
        if spec.form == "f32" or (spec.depth == 0 and not spec.wide):
            self.blocked = False
        lanes = arithmetic.lanes
        dtype, width = arithmetic.narrow.split("x")
        cells = [(i, j, p) for i in range(mr) for j in range(vectors) for p in range(spec.parts)]
        self.acc = {cell: TB.alloc_buffer((int(width),), dtype, scope="global") for cell in cells}
        self.width = int(width)
        if self.blocked:
            self.sum_dtype = "float64" if spec.wide else "int32"
            self.sums = {
                (i, j): TB.alloc_buffer((lanes,), self.sum_dtype, scope="global") for i in range(mr) for j in range(vectors)
            }

    def compute(self, pixels: list[Any], panel: Any, block: Any) -> None:
        """Run the whole K loop: ``pixels`` are element offsets of the mr inputs' first tap,
        ``panel`` the offset of the block's weights in vectors-of-nr rows."""
        if self.blocked:
            for buffer in self.sums.values():
                TB.buffer_store(buffer, splat(T.FloatImm("float64", 0.0) if self.spec.wide else 0, self.sum_dtype, self.ops.lanes), [T.ramp(0, 1, self.ops.lanes)])
        if not self.blocked:
            self._clear()
        if self.spec.form == "u8_split":
            self._listed(pixels, block)
        else:
            self._walk(pixels, panel)

    def results(self, i: int) -> Iterator[tuple[int, Any]]:
        """(first channel within the block, accumulator x 16) of pixel i."""
        lanes = self.ops.lanes
        group = LANES // lanes
        for first in range(0, self.vectors, group):
            parts = []
            for j in range(first, first + group):
                if self.blocked:
                    parts.append(load(self.sums[i, j], 0, lanes))
                else:
                    parts.append(self.ops.total(load(self.acc[i, j, 0], 0, self.width)))
            whole = parts[0] if group == 1 else tirx.Shuffle(parts, [tirx.IntImm("int32", n) for n in range(LANES)])
            yield first * lanes, whole

    def _clear(self) -> None:
        for buffer in self.acc.values():
            TB.buffer_store(buffer, self.ops.zero, [T.ramp(0, 1, self.width)])

    def _step(self, offsets: list[Any], row: Any) -> None:
        """One step: ``row`` is the step's index of the weights."""
        dtype, elements = self.ops.weight
        across = self.spec.nr // self.ops.lanes
        for i, offset in enumerate(offsets):
            a = TB.Bind(self.ops.spread(self.kernel.x, offset))
            for j in range(self.vectors):
                for p in range(self.spec.parts):
                    buffer = self.acc[i, j, p]
                    w = load(self.kernel.w, ((row * self.spec.parts + p) * across + j) * elements, elements)
                    TB.buffer_store(buffer, self.ops.step(load(buffer, 0, self.width), a, w), [T.ramp(0, 1, self.width)])

    def _flush(self) -> None:
        """Add the block's narrow sums to the totals."""
        lanes = self.ops.lanes
        for (i, j), buffer in self.sums.items():
            parts = [self.ops.total(load(self.acc[i, j, p], 0, self.width)) for p in range(self.spec.parts)]
            if self.spec.wide:
                parts = [T.cast(part, f"float64x{lanes}") for part in parts]
            value = parts[0]
            if len(parts) == 2:
                value = value * splat(T.FloatImm("float64", 256.0), "float64", lanes) + parts[1]
            TB.buffer_store(buffer, load(buffer, 0, lanes) + value, [T.ramp(0, 1, lanes)])

    @contextmanager
    def _block(self) -> Iterator[None]:
        if self.blocked:
            self._clear()
        yield
        if self.blocked:
            self._flush()

    def _walk(self, pixels: list[Any], panel: Any) -> None:
        spec, runs = self.spec, self.runs
        steps = runs.steps(spec.k_group)
        row_pitch = spec.dilation[0] * spec.src.wp * spec.src.stride
        column_pitch = spec.dilation[1] * spec.src.stride
        per_step = spec.k_group // 8 if spec.src.dtype == "bits" else spec.k_group

        whole = self._block() if self.blocked and spec.depth == 0 else nullcontext()
        with whole, _loop(runs.rows) as ky, _loop(runs.columns) as kx:
            tap = ky * row_pitch + kx * column_pitch
            first = panel + (ky * runs.columns + kx) * steps

            def step(k: Any) -> None:
                self._step([pixel + tap + k * per_step for pixel in pixels], first + k)

            if not self.blocked or spec.depth == 0:
                with _loop(steps) as k:
                    step(k)
                return
            full, rest = divmod(steps, spec.depth)
            if full:
                with _loop(full) as g, self._block():
                    self._steps(step, g * spec.depth, spec.depth)
            if rest:
                with self._block():
                    self._steps(step, full * spec.depth, rest)

    def _steps(self, step: Any, start: Any, count: int) -> None:
        if count <= _UNROLL:
            for k in range(count):
                step(start + k)
        else:
            with TB.serial(count) as k:
                step(start + k)

    def _listed(self, pixels: list[Any], block: Any) -> None:
        """Steps from the list in t = [start of each block | offset of each entry]."""
        t = self.kernel.t
        begin = TB.Bind(t[block])
        with TB.serial(T.int32(0), t[block + 1] - begin) as e:
            offset = TB.Bind(t[self.spec.blocks + 1 + begin + e])
            self._step([pixel + offset for pixel in pixels], begin + e)


@contextmanager
def _loop(extent: int) -> Iterator[Any]:
    """A serial loop, or no loop at all for one iteration."""
    if extent == 1:
        yield 0
    else:
        with TB.serial(extent) as index:
            yield index
