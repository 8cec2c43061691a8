"""ConvSpec -> TensorIR of kernels on AMX tiles: loops over units, groups of channels, groups of pixels, and K.

Groups of channels are outside, so that their weights are read once from far away and stay near for all pixels of the unit.
Sums leave the tiles for scratch memory ``m``: [configuration, 16 int32 | sums [kind][pixel tile][row][64 channels]].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import KernelFrame, around_function, kernel_function
from lowbit.kernels.conv2d.amx.between import Ahead, Spread
from lowbit.kernels.conv2d.amx.packed import PackedRows
from lowbit.kernels.conv2d.amx.places import Places
from lowbit.kernels.conv2d.amx.plan import CONFIGURATION, GROUP, STEP, SUMS, Plan, packs, plan_of
from lowbit.kernels.conv2d.amx.unpack import Unpacking
from lowbit.kernels.conv2d.amx.walk import MOST_ROWS
from lowbit.kernels.conv2d.loops import hidden, loop
from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.conv2d.spec import ConvSpec, floats
from lowbit.kernels.epilogue import LANES, Epilogue, epilogue_of, epilogue_pointers
from lowbit.kernels.intrinsics.amx import BYTES, COLUMNS, HALVES, ROW_BYTES, Tiles, tiles_of
from lowbit.kernels.layout import Layout
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import convert, load, splat
from lowbit.targets import Target

__all__ = ["build"]

_INPUTS, _WEIGHTS = 4, 6  # the first tile of each; two of each take turns
_FEW = 2  # steps that LLVM may unroll
_GROUP4 = 4  # bytes of K values that lie side by side in a panel


def build(spec: ConvSpec, target: Target) -> tuple[Any, Any, Any]:
    """(kernel, begin, end).  Raises UnsupportedPrecision for a target without AMX."""
    halves = floats(spec.form)
    tiles, plan, symbol = tiles_of(target, HALVES if halves else BYTES), plan_of(spec), spec.symbol(target.name)
    runs = find_runs(spec, spec.k_group, spec.window)
    channels = spec.blocks * spec.nr
    words = plan.scratch_words
    pointers = epilogue_pointers(channels, spec.dst, spec.residual, not halves, spec.wide)
    pointers["x"] = ("uint16" if halves else "uint8", spec.src.elements + 64)
    weights = runs.count * runs.steps(spec.k_group) * STEP * spec.parts * channels
    pointers["w"] = ("uint8", weights // plan.narrow) if plan.narrow else ("int8", weights)
    pointers["t"] = ("int32", spec.blocks)
    pointers["m"] = ("void" if plan.narrow else "int32", words)
    with kernel_function(symbol, **pointers) as kernel:
        if plan.narrow:
            kernel.buffers["m"] = kernel.view("m", "int32", words)
        epilogue = epilogue_of(kernel, spec, channels, not halves, spec.wide, target)
        packed = PackedRows(kernel, spec, target, channels) if packs(spec) else None
        _Nest(kernel, spec, plan, runs, tiles, epilogue, packed).emit()
    with around_function(f"{symbol}__begin", "int32", words) as begin:
        for i, word in enumerate(tiles.configuration(plan.rows, _WEIGHTS)):
            TB.buffer_store(begin.m, T.int32(word), [i])
        tiles.configure(begin.m, 0)
    with around_function(f"{symbol}__end", "int32", words) as end:
        tiles.release()
    return kernel.func, begin.func, end.func


@dataclass(frozen=True)
class _Factor:
    """One byte of a number, or one bfloat16: elements (of weights bytes) from the start to its plane or part, whether it has a
    sign, and 2^shift."""

    at: int
    signed: bool
    shift: int


_Write = Callable[[Callable[[int], Any], Any, Any], None]
"""(kind -> where a pixel's sums lie in m, where its results go, where its residual lies)."""


class _Nest:
    """The loops around the tiles.  ``packed``: writes whole groups of 64 channels; ``epilogue``: others, sixteen at a time."""

    def __init__(
        self,
        kernel: KernelFrame,
        spec: ConvSpec,
        plan: Plan,
        runs: Runs,
        tiles: Tiles,
        epilogue: Epilogue,
        packed: PackedRows | None,
    ) -> None:
        self.kernel, self.spec, self.plan, self.runs, self.tiles = kernel, spec, plan, runs, tiles
        self.epilogue, self.packed, self.places = epilogue, packed, Places(spec, plan)
        written = min(spec.dst.stride, -(-spec.dst.c // LANES) * LANES)
        self.channels = plan.panels * spec.nr  # of a group
        self.group_count = -(-spec.blocks // plan.panels)
        self.tail = written - (self.group_count - 1) * self.channels  # channels of the last group
        self.row_bytes = spec.nr * _GROUP4  # of a panel, in one part: four bytes, or two halves, of each channel
        self.step_bytes = STEP * spec.nr * spec.parts // (plan.narrow or 1)
        self.steps = runs.count * runs.steps(spec.k_group)
        self.block_bytes = self.steps * self.step_bytes
        self.unpacking = Unpacking(kernel, plan, self.steps) if plan.narrow else None
        plane = spec.src.elements // 2
        self.x_bytes = (
            (_Factor(plane, True, 8), _Factor(0, False, 0)) if spec.wide and planes(spec) == 2 else (_Factor(0, False, 0),)
        )
        self.halves = floats(spec.form)
        if self.halves:
            self.x_bytes = (_Factor(0, True, 0), _Factor(plane, True, 0))
        self.w_bytes = (_Factor(0, True, 8), _Factor(self.row_bytes, False, 0)) if spec.parts == 2 else (_Factor(0, True, 0),)

    def emit(self) -> None:
        spec, plan = self.spec, self.plan
        m_units = -(-spec.tiles // spec.m_tiles)
        unit_groups = spec.n_blocks // plan.panels
        with TB.serial(self.kernel.lo, self.kernel.hi) as unit:
            column, row = divided(unit, m_units)
            first_group, first_pixels = TB.Bind(column * unit_groups), TB.Bind(row * spec.m_tiles)
            with TB.serial(T.int32(0), _count(first_group, unit_groups, self.group_count)) as g:
                group = TB.Bind(first_group + g)
                pixels = TB.Bind(_count(first_pixels, spec.m_tiles, spec.tiles))
                if self.tail == self.channels or self.group_count == 1:
                    self._group(group, first_pixels, pixels, self.tail)
                else:
                    with TB.If(group < self.group_count - 1):
                        with TB.Then():
                            self._group(group, first_pixels, pixels, self.channels)
                        with TB.Else():
                            self._group(group, first_pixels, pixels, self.tail)

    def _group(self, group: Any, first_pixels: Any, count: Any, channels: int) -> None:
        channel = TB.Bind(group * self.channels)
        if self.packed and channels == GROUP:
            write: _Write = partial(self._write_packed, self.packed, self.packed.columns(channel))
            if self.plan.interleaved:
                self._interleaved(group, first_pixels, count, channel, write)
                return
        else:
            write = partial(
                self._write_lanes, {lane: self.epilogue.columns(channel + lane) for lane in range(0, channels, LANES)}
            )
        with TB.serial(T.int32(0), count) as p:
            self._multiply(group, first_pixels + p, p, channels, self.tiles, 0)
            self._write(first_pixels + p, channel, write, 0)

    def _interleaved(self, group: Any, first_pixels: Any, count: Any, channel: Any, write: _Write) -> None:
        """Rows of one group of pixels are written between the instructions on tiles of the next, which leave room for them."""
        plan = self.plan
        self._multiply(group, first_pixels, T.int32(0), GROUP, self.tiles, 0, unrolled=True)
        with TB.serial(T.int32(0), count - 1) as before:
            half = TB.Bind(T.bitwise_and(before, T.int32(1)) * plan.sum_words)
            rows = self._rows(first_pixels + before, channel, write, half)
            slots = GROUP // COLUMNS // plan.columns * (2 * SUMS + self.steps * 2 * SUMS)
            spread = Spread(self.tiles, rows, -(-plan.pixels * plan.rows // slots))
            self._multiply(group, first_pixels + before + 1, before + 1, GROUP, spread, plan.sum_words - half, unrolled=True)
            for row in rows:
                row()
        half = TB.Bind(T.bitwise_and(count - 1, T.int32(1)) * plan.sum_words)
        self._write(first_pixels + count - 1, channel, write, half)

    def _rows(self, pixels: Any, channel: Any, write: _Write, half: Any) -> Iterator[Callable[[], None]]:
        """For every row of a group of pixels what writes it."""
        spec, plan, walk = self.spec, self.plan, self.plan.walk
        for j in range(plan.pixels):
            line, start = self.places.position(T.min(pixels * plan.pixels + j, T.int32(walk.tiles - 1)))
            for i in range(plan.rows):
                place, _ = self.places.pixel(line, start + i)

                def row(j: int = j, i: int = i, place: Callable[[Layout], Any] = place) -> None:
                    residual = place(spec.residual) + channel if spec.residual else 0
                    write(lambda kind: self._sums(kind, j, half) + i * GROUP, place(spec.dst) + channel, residual)

                yield row

    def _write_packed(self, packed: PackedRows, columns: list[Any], sums: Callable[[int], Any], to: Any, residual: Any) -> None:
        packed.write(sums(0), columns, to, residual)

    def _write_lanes(self, columns: dict[int, Any], sums: Callable[[int], Any], to: Any, residual: Any) -> None:
        for lane, of_lane in columns.items():
            self.epilogue.write(self._sum(sums, lane), of_lane, to + lane, residual + lane)

    # Sums

    def _multiply(
        self, group: Any, pixels: Any, p: Any, channels: int, tiles: Tiles | Spread, half: Any, unrolled: bool = False
    ) -> None:
        """All products of a group of pixels, the p-th of the unit, and one of channels, to scratch memory from ``half`` on.

        Sums begin as the bias where results are packed, else as zeros."""
        spec, plan, walk = self.spec, self.plan, self.plan.walk
        pixels = TB.Bind(pixels)
        starts = [self.places.first_input(T.min(pixels * plan.pixels + j, T.int32(walk.tiles - 1))) for j in range(plan.pixels)]
        column_tiles = -(-channels // COLUMNS)
        chunks = [
            (panel, at, min(plan.columns, column_tiles - panel * (spec.nr // COLUMNS) - at))
            for panel in range(-(-channels // spec.nr))
            for at in range(0, spec.nr // COLUMNS, plan.columns)
        ]
        chunks = [chunk for chunk in chunks if chunk[2] > 0]
        ahead = Ahead(self.kernel, (group + 1) * plan.panels * self.block_bytes, plan.panels * self.block_bytes, self.steps)
        ahead.share(p, len(chunks), spec.m_tiles, self.block_bytes * spec.blocks)
        for number, (panel, at, few) in enumerate(chunks):
            block = TB.Bind(group * plan.panels + panel)
            first, weights = self._window(block), TB.Bind(block * self.block_bytes)
            here = panel * (spec.nr // COLUMNS) + at
            from_bias = self.packed is not None and channels == GROUP
            bias = TB.Bind(group * self.channels + here * COLUMNS) if from_bias else None
            inputs = [start + first for start in starts]
            sums = self._numbered(few, here, half)
            for number_of, (column, _) in sums.items():
                if bias is None:
                    tiles.zero(number_of)
                else:
                    tiles.load(number_of, self.kernel.b, bias + column * COLUMNS, 0)
            if self.unpacking:
                self.unpacking.first(weights)
            for index, tap in self._k_steps(unrolled):
                taps = [start + tap for start in inputs]
                if self.unpacking:
                    self._step(tiles, taps, self.unpacking.ring, self.unpacking.place(index), few)
                    self.unpacking.ahead(weights, index)
                else:
                    self._step(tiles, taps, self.kernel.w, weights + at * ROW_BYTES + index * self.step_bytes, few)
                ahead.emit(number, index)
            for number_of, (_, place) in sums.items():
                tiles.store(number_of, self.kernel.m, place, 4 * GROUP)

    def _numbered(self, columns: int, here: int, half: Any) -> dict[int, tuple[int, Any]]:
        """Number of each tile of sums -> its column and its place in scratch memory; the first column is the group's ``here``."""
        plan = self.plan
        return {
            (j * columns + q) * plan.kinds + kind: (q, self._sums(kind, j, half) + (here + q) * COLUMNS)
            for j in range(plan.pixels)
            for q in range(columns)
            for kind in range(plan.kinds)
            if self._has(kind)
        }

    def _k_steps(self, unrolled: bool) -> Iterator[tuple[Any, Any]]:
        """(number of a step, elements from the first tap to its inputs): loops, or one after the other."""
        spec, runs, steps = self.spec, self.runs, self.runs.steps(self.spec.k_group)

        def step_at(ky: Any, kx: Any, step: Any) -> tuple[Any, Any]:
            tap = (ky * spec.dilation[0] * spec.src.wp + kx * spec.dilation[1]) * spec.src.stride + step * spec.k_group
            return (ky * runs.columns + kx) * steps + step, tap if isinstance(tap, int) else TB.Bind(tap)

        if unrolled:
            for place in product(range(runs.rows), range(runs.columns), range(steps)):
                yield step_at(*place)
            return
        with _kept(runs.rows) as ky, _kept(runs.columns) as kx, _kept(steps) as step:
            yield step_at(ky, kx, step)

    def _step(self, tiles: Tiles | Spread, inputs: list[Any], memory: Any, w: Any, columns: int) -> None:
        """Products of 64 K values; a tile of weights serves all tiles of pixels, where there are tiles enough for that.  Weights
        lie at ``w`` of ``memory``."""
        spec, stride = self.spec, self.spec.stride[1] * self.spec.src.stride
        if spec.wide:
            self._wide_step(inputs[0], w, stride)
            return
        if self.halves:
            self._halves_step(inputs, w, columns, stride * 2)
            return
        kept = columns <= 2
        for j, at in enumerate(inputs):
            a = _INPUTS + j % 2
            tiles.load(a, self.kernel.x, at, stride)
            for q in range(columns):
                b = _WEIGHTS + q % 2
                if j == 0 or not kept:
                    tiles.load(b, memory, w + q * ROW_BYTES, self.row_bytes)
                tiles.multiply(j * columns + q, a, b, False, True)

    def _wide_step(self, at: Any, w: Any, stride: int) -> None:
        """Every byte of the inputs with every byte of the weights, each product to the sum of what it is worth."""
        for i, x in enumerate(self.x_bytes):
            self.tiles.load(_INPUTS + i, self.kernel.x, at + x.at, stride)
        for i, part in enumerate(self.w_bytes):
            self.tiles.load(_WEIGHTS + i, self.kernel.w, w + part.at, self.row_bytes * self.spec.parts)
        for i, x in enumerate(self.x_bytes):
            for j, part in enumerate(self.w_bytes):
                self.tiles.multiply(2 - (x.shift + part.shift) // 8, _INPUTS + i, _WEIGHTS + j, x.signed, part.signed)

    def _halves_step(self, inputs: list[Any], w: Any, columns: int, stride: int) -> None:
        """x_h w_l, then x_h w_h, then x_l w_h of every sum, so that four products, of four sums, lie between two of one; what the
        four tiles of operands hold already is not loaded again."""
        held: dict[int, tuple[int, int]] = {}

        def hold(tile: int, what: tuple[int, int], buffer: Any, at: Any, apart: int) -> int:
            if held.get(tile) != what:
                self.tiles.load(tile, buffer, at, apart)
                held[tile] = what
            return tile

        for i, p in ((0, 1), (0, 0), (1, 0)):
            x, part = self.x_bytes[i], self.w_bytes[p]
            for j, at in enumerate(inputs):
                a = hold(_INPUTS + j % 2, (i, j), self.kernel.x, at + x.at, stride)
                for q in range(columns):
                    from_part = w + q * ROW_BYTES + part.at
                    b = hold(_WEIGHTS + q % 2, (p, q), self.kernel.w, from_part, self.row_bytes * self.spec.parts)
                    self.tiles.multiply_halves(j * columns + q, a, b)

    # Results

    def _write(self, pixels: Any, channel: Any, write: _Write, half: Any) -> None:
        """The results of a group of pixels, whose sums lie from ``half`` on."""
        spec, plan, walk = self.spec, self.plan, self.plan.walk
        pixels = TB.Bind(pixels)
        count = T.min(T.int32(plan.pixels), walk.tiles - pixels * plan.pixels) if walk.tiles % plan.pixels else plan.pixels
        with TB.serial(T.int32(0), count) as j:
            line, start = self.places.position(pixels * plan.pixels + j)
            with TB.serial(plan.rows) as i:
                place, inside = self.places.pixel(line, TB.Bind(start + i))
                to = TB.Bind(place(spec.dst) + channel)
                residual = TB.Bind(place(spec.residual) + channel) if spec.residual else 0
                if inside is None:
                    write(lambda kind: self._sums(kind, j, half) + i * GROUP, to, residual)
                else:
                    with TB.If(inside), TB.Then():
                        write(lambda kind: self._sums(kind, j, half) + i * GROUP, to, residual)

    def _sums(self, kind: int, j: Any, half: Any) -> Any:
        """Where the sums of a pixel tile begin."""
        return CONFIGURATION + half + (kind * self.plan.pixels + j) * MOST_ROWS * GROUP

    def _sum(self, sums: Callable[[int], Any], lane: int) -> Any:
        """Sixteen sums: int32; float32 of halves; float64 of wide operands, where every term, and every sum, is below 2^53."""
        if self.halves:
            return T.reinterpret(f"float32x{LANES}", load(self.kernel.m, sums(0) + lane))
        if not self.spec.wide:
            return load(self.kernel.m, sums(0) + lane)
        total = None
        for kind in range(self.plan.kinds):
            if self._has(kind):
                factor = splat(float(1 << 8 * (2 - kind)), "float64")
                term = convert(load(self.kernel.m, sums(kind) + lane), "float64") * factor
                total = term if total is None else total + term
        return total

    def _has(self, kind: int) -> bool:
        return not self.spec.wide or any(2 - (x.shift + w.shift) // 8 == kind for x in self.x_bytes for w in self.w_bytes)

    def _window(self, block: Any) -> Any:
        return TB.Bind(self.kernel.t[block]) if self.spec.window else 0


@contextmanager
def _kept(extent: int) -> Iterator[Any]:
    """A loop that LLVM leaves one: unrolled, it keeps the address of every tile of every step, in memory."""
    if extent <= _FEW:
        with loop(extent) as index:
            yield index
    else:
        with TB.serial(hidden(extent, _FEW)) as index:
            yield index


def planes(spec: ConvSpec) -> int:
    """Byte planes of the inputs: images of ``src`` for each of ``dst``."""
    return spec.src.n // spec.dst.n


def _count(first: Any, size: int, total: int) -> Any:
    """How many of ``size`` from ``first`` on exist."""
    return size if total % size == 0 else T.min(size, total - first)
