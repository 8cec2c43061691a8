"""ConvSpec -> TensorIR: loops over units, channel blocks and pixel tiles around one register tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.conv2d.ahead import Ahead
from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.forms import find_form
from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.conv2d.tile import Tile
from lowbit.kernels.epilogue import LANES, Epilogue, epilogue_of, epilogue_pointers
from lowbit.kernels.layout import Layout
from lowbit.kernels.rows import divided, row_position
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ConvSpec, target: Target, tile: type[Tile] = Tile) -> Any:
    """The PrimFunc of ``spec``, made of tiles of this class.  Raises UnsupportedPrecision for an unknown form."""
    arithmetic = find_form(spec.form).inner_step(spec, target)
    runs = find_runs(spec, spec.k_group, spec.window)
    channels = spec.blocks * spec.nr
    dtype, elements = arithmetic.weight
    steps = spec.blocks * runs.count * runs.steps(spec.k_group) * tile.entries  # at most
    row = spec.parts * arithmetic.rows * (spec.nr // arithmetic.lanes) * elements  # weights of one step
    integer = not arithmetic.floats
    pointers = epilogue_pointers(channels, spec.dst, spec.residual, integer, spec.wide)
    pointers["x"] = (TIR_DTYPE[spec.src.dtype], spec.src.elements + 64)
    pointers["w"] = (dtype, steps * row)
    pointers["t"] = ("uint8", arithmetic.bytes.table_bytes) if arithmetic.bytes else ("int32", spec.blocks + 1 + steps)
    with kernel_function(spec.symbol(target.name), **pointers) as kernel:
        epilogue = epilogue_of(kernel, spec, channels, integer, spec.wide, target)
        _Nest(kernel, spec, arithmetic, runs, epilogue, target, tile).emit()
    return kernel.func


class _Nest:
    """The loops around the tile."""

    def __init__(
        self,
        kernel: KernelFrame,
        spec: ConvSpec,
        arithmetic: Arithmetic,
        runs: Runs,
        epilogue: Epilogue,
        target: Target,
        tile: type[Tile],
    ) -> None:
        self.kernel, self.spec, self.ops, self.runs, self.epilogue = kernel, spec, arithmetic, runs, epilogue
        self.tile = tile
        self.mr = min(spec.mr, spec.dst.pixels)
        self.ahead = Ahead(kernel, spec, target, self.mr, runs.count * runs.steps(spec.k_group))
        dtype, elements = arithmetic.weight
        row_bytes = spec.parts * arithmetic.rows * (spec.nr // arithmetic.lanes) * elements * np.dtype(dtype).itemsize
        block_bytes = runs.count * runs.steps(spec.k_group) * row_bytes
        unit_bytes = spec.n_blocks * block_bytes
        self.pixels_outside = unit_bytes <= target.l1_bytes // 2  # a unit's weights stay in L1, its inputs are read once
        # Threads share what is more, each takes a part of it: pixels, which they then find in their own caches, or weights.
        self.rows_outside = spec.blocks * block_bytes <= spec.src.nbytes
        self.by_channels = "neon" in target.features  # whose registers hold the columns of sixteen channels, not of a tile
        written = min(spec.dst.stride, -(-spec.dst.c // LANES) * LANES)
        self.tail = written - (spec.blocks - 1) * spec.nr  # channels of the last block

    def emit(self) -> None:
        spec = self.spec
        m_units, n_units = -(-spec.tiles // spec.m_tiles), -(-spec.blocks // spec.n_blocks)
        with TB.serial(self.kernel.lo, self.kernel.hi) as unit:
            row, column = divided(unit, n_units) if self.rows_outside else divided(unit, m_units)[::-1]
            first_block, first_tile = TB.Bind(column * spec.n_blocks), TB.Bind(row * spec.m_tiles)
            blocks = _count(first_block, spec.n_blocks, spec.blocks)
            tiles = _count(first_tile, spec.m_tiles, spec.tiles)
            if self.pixels_outside:
                with TB.serial(T.int32(0), tiles) as m, TB.serial(T.int32(0), blocks) as n:
                    self._any_tile(first_tile + m, first_block + n)
            else:
                with TB.serial(T.int32(0), blocks) as n, TB.serial(T.int32(0), tiles) as m:
                    self._any_tile(first_tile + m, first_block + n)

    def _any_tile(self, tile: Any, block: Any) -> None:
        full = self.spec.nr
        if self.tail == full or self.spec.blocks == 1:
            self._tile(tile, block, self.tail)
            return
        with TB.If(block < self.spec.blocks - 1):
            with TB.Then():
                self._tile(tile, block, full)
            with TB.Else():
                self._tile(tile, block, self.tail)

    def _tile(self, tile: Any, block: Any, channels: int) -> None:
        spec, mr = self.spec, self.mr
        vectors = -(-channels // self.ops.lanes)
        m0 = TB.Bind(T.min(tile * mr, spec.dst.pixels - mr))
        tile_ = self.tile(self.kernel, spec, self.ops, self.runs, vectors, mr, self.ahead)
        rows = self.runs.count * self.runs.steps(spec.k_group)
        start = self._window(block)
        pixels = [pixel + start for pixel in self._offsets(m0, self._input)]
        places = self._places(m0, block) if self.ahead.far else None
        if places is not None:
            self.ahead.results(*places[1:], channels)
        tile_.compute(pixels, block * rows, block, [self._first(pixel) for pixel in pixels] if self.ops.first else None)
        channel, to, residual = places or self._places(m0, block)
        width = min(LANES, spec.nr)  # channels written at once
        lanes = range(0, vectors * self.ops.lanes, width)
        columns = {} if self.by_channels else {lane: self.epilogue.columns(channel + lane, width) for lane in lanes}
        if self.by_channels:
            for lane, cells in zip(lanes, zip(*map(tile_.results, range(mr)), strict=True), strict=True):
                if lane < channels:
                    group = self.epilogue.columns(channel + lane, width)
                    for i, (_, acc) in enumerate(cells):
                        self.epilogue.write(acc, group, to[i] + lane, residual[i] + lane, width)
            return
        for i in range(mr):
            row = [acc for lane, acc in tile_.results(i) if lane < channels]
            self.epilogue.write_row(row, list(columns.values()), to[i], residual[i], width)

    def _places(self, m0: Any, block: Any) -> tuple[Any, list[Any], list[Any]]:
        """The block's first channel, and where the tile's pixels are written and find what is added to them."""
        spec = self.spec
        channel = TB.Bind(block * spec.nr)
        to = [TB.Bind(at + channel) for at in self._offsets(m0, _position(spec.dst))]
        residual = self._offsets(m0, _position(spec.residual)) if spec.residual else []
        return channel, to, [TB.Bind(at + channel) for at in residual] or [0] * self.mr

    def _first(self, pixel: Any) -> Any:
        """What the sums of a pixel start from, of all its taps."""
        assert self.ops.first is not None
        spec, total = self.spec, T.int32(0)
        for ky in range(self.runs.rows):
            for kx in range(self.runs.columns):
                tap = (ky * spec.dilation[0] * spec.src.wp + kx * spec.dilation[1]) * spec.src.stride
                total = total + self.ops.first(self.kernel, pixel + tap)
        return TB.Bind(total)

    def _window(self, block: Any) -> Any:
        if not self.spec.window:
            return 0
        start = self.kernel.t[block]
        return TB.Bind(divided(start, 8)[0] if self.spec.src.dtype == "bits" else start)

    def _input(self, b: Any, y: Any, x: Any) -> Any:
        spec = self.spec
        return spec.src.offset(b, y * spec.stride[0] - spec.padding[0], x * spec.stride[1] - spec.padding[1], 0)

    def _offsets(self, m0: Any, place: Callable[[Any, Any, Any], Any]) -> list[Any]:
        """Element offset ``place(b, y, x)`` of each of the tile's pixels m0 .. m0 + mr - 1.

        Where pixels of a row are equally spaced and no tile crosses a row, one address serves all.
        """
        dst, mr = self.spec.dst, self.mr
        step = place(0, 0, 1) - place(0, 0, 0)
        rows_even = dst.h == 1 or place(0, 1, 0) - place(0, 0, 0) == dst.w * step
        images_even = dst.n == 1 or place(1, 0, 0) - place(0, 0, 0) == dst.h * dst.w * step
        if rows_even and images_even:
            base = TB.Bind(place(0, 0, 0) + m0 * step)
            return [base + i * step for i in range(mr)]
        whole_rows = dst.w % mr == 0
        offsets = []
        for i in range(1 if whole_rows else mr):
            row, x = divided(m0 + i, dst.w)
            offsets.append(TB.Bind(place(*row_position(row, dst), x)))
        return [offsets[0] + i * step for i in range(mr)] if whole_rows else offsets


def _position(layout: Layout) -> Callable[[Any, Any, Any], Any]:
    return lambda b, y, x: layout.offset(b, y, x, 0)


def _count(first: Any, size: int, total: int) -> Any:
    """How many of ``size`` from ``first`` on exist."""
    return size if total % size == 0 else T.min(size, total - first)
