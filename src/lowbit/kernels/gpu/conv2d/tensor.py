"""ConvSpec -> TensorIR for tensor cores.

A block of threads computes ``m_tiles`` x ``n_blocks`` tiles of ``mr`` pixels x ``nr`` channels, a warp each.  There are two
ways for operands to come to registers:

- straight from device memory, each warp on its own, a few steps at a time so that many loads are under way.  Where a layer has
  few tiles, several warps share one: each sums ``depth`` of its steps, and the first adds up what the others bring through
  shared memory.  Sums of integers are exact in any order.
- ``staged``: through shared memory, the whole block together, copied by cp.async while earlier steps are multiplied.  Shared
  memory holds the same order as device memory: 16 bytes a thread, neighbouring threads side by side, so no access has bank
  conflicts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec, form_of
from lowbit.kernels.gpu.conv2d.atom import Atom
from lowbit.kernels.gpu.conv2d.pixels import Pixel
from lowbit.kernels.gpu.conv2d.tiling import WARP, batch_for, runs_of, shares_of, stage_bytes, stages_for, threads_of
from lowbit.kernels.gpu.epilogue import GpuEpilogue, load_words
from lowbit.kernels.gpu.function import GpuFrame, gpu_kernel
from lowbit.kernels.gpu.launch import Launch
from lowbit.kernels.gpu.ptx import barrier, commit, copy16, ptx, wait
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import divided
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ConvSpec, target: Target) -> Any:
    form: Any = form_of(spec.form)
    grid = (-(-spec.tiles // spec.m_tiles), -(-spec.blocks // spec.n_blocks), 1)
    pointers = GpuEpilogue.pointers() | {"x": ("void", 0), "w": ("void", 0), "t": ("int32", max(1, spec.blocks))}
    with gpu_kernel(spec.symbol(target.name), Launch(grid, threads_of(spec)), **pointers) as frame:
        kind: type[_Tile] = _Staged if form.staged else _Wide if spec.wide else _Direct
        tile = kind(frame, spec, form.atom)
        tile.multiply()
        tile.finish()
    return frame.func


def _local(words: int, dtype: str = "uint32") -> Any:
    return TB.alloc_buffer((words,), dtype, scope="local")


class _Tile:
    """What both ways share: which tile a warp has, how it multiplies, what it does with the sums."""

    def __init__(self, frame: GpuFrame, spec: ConvSpec, atom: Atom) -> None:
        self.frame, self.spec, self.atom = frame, spec, atom
        self.runs = runs_of(spec, spec.k_group, spec.window)
        self.chunks = self.runs.steps(spec.k_group)
        self.steps = self.runs.count * self.chunks
        self.pixel_tiles, self.channel_tiles = spec.mr // 8, spec.nr // atom.rows
        self.x_words, self.w_words = atom.x_words(spec.k_group), atom.w_words(spec.k_group) * spec.nr // 8 * spec.parts
        self.k_words = spec.k_group * atom.x_bits // 32  # of a pixel, in a step
        self.x = frame.view("x", "uint32", spec.src.nbytes // 4 + 16)
        self.w = frame.view("w", "uint32", spec.blocks * self.steps * self.w_words * WARP)
        self.epilogue = GpuEpilogue(frame, spec, spec.blocks * spec.nr, spec.nr // 8)
        lane = TB.Bind(frame.thread & 31)
        self.lane, self.warp = lane, TB.Bind(frame.thread >> 5)
        self.g, self.t = TB.Bind(lane >> 2), TB.Bind(lane & 3)
        self.wm = TB.Bind(T.truncmod(self.warp, T.int32(spec.m_tiles)))
        self.wn = TB.Bind(T.truncmod(T.truncdiv(self.warp, T.int32(spec.m_tiles)), T.int32(spec.n_blocks)))
        self.first = TB.Bind(frame.block[0] * spec.m_tiles)
        self.column = frame.block[1] * spec.n_blocks
        self.block = TB.Bind(T.min(self.column + self.wn, spec.blocks - 1))
        self.ones = self.pixel_tiles * self.channel_tiles * atom.sums  # behind the sums, where ones are counted
        self.sums = atom.tile_sums(spec.mr, spec.nr) // WARP
        self.acc = _local(self.sums)
        self.xs = _local(self.pixel_tiles * self.x_words * self.batch)
        self.ws = _local(self.w_words * self.batch)
        narrow = atom.bits < atom.x_bits
        self.x_registers = _local(self.pixel_tiles * self.x_words // 2) if narrow else self.xs
        self.w_registers = self.ws if atom.bits == atom.w_bits else _local(2 * self.w_words)
        for i in range(self.sums):
            TB.buffer_store(self.acc, T.uint32(0), [i])
        if atom.w_bits == 1:
            self.mask = _local(self.x_words * self.batch)  # which bits belong to the run

    batch = 1

    # where operands are

    def step_words(self, step: Any) -> Any:
        """Words from the first tap of a pixel to what ``step`` reads."""
        spec, runs = self.spec, self.runs
        pixel = spec.src.stride * ELEMENT_BYTES[spec.src.dtype] // 4
        row, column = spec.dilation[0] * spec.src.wp * pixel, spec.dilation[1] * pixel
        run, chunk = divided(step, self.chunks) if runs.count > 1 else (0, step)
        ky, kx = divided(run, runs.columns) if runs.columns > 1 and runs.rows > 1 else (run, 0) if runs.rows > 1 else (0, run)
        return row, column, ky, kx, chunk

    def unit(self) -> int:
        """Words of the widest loads for which all inputs are aligned."""
        spec = self.spec
        pixel = spec.src.stride * ELEMENT_BYTES[spec.src.dtype] // 4
        return next(size for size in (4, 2, 1) if self.x_words % size == 0 and pixel % size == 0)

    def pixel_units(self, p: Any, unit: int) -> Any:
        """Loads of ``unit`` words from the start of x to the first tap of output pixel ``p``, or of one that exists."""
        spec = self.spec
        pixel = Pixel(spec, T.min(p, spec.dst.pixels - 1))
        at = pixel.input() * (spec.src.stride * ELEMENT_BYTES[spec.src.dtype] // 4 // unit)
        if spec.window:
            at = at + T.truncdiv(self.frame.t[self.block] * ELEMENT_BYTES[spec.src.dtype], T.int32(4 * unit))
        return TB.Bind(at)

    def step_units(self, step: Any, unit: int) -> Any:
        row, column, ky, kx, chunk = self.step_words(step)
        return TB.Bind(ky * (row // unit) + kx * (column // unit) + chunk * (self.k_words // unit))

    def first_pixel(self) -> Any:
        """Number of the warp's first output pixel."""
        return (self.first + self.wm) * self.spec.mr

    # how they are multiplied

    def multiply(self) -> None:
        """The whole K loop."""
        raise NotImplementedError

    def multiply_step(self, at: int) -> None:
        """The products of one of the loaded steps."""
        atom, spec = self.atom, self.spec
        x0, w0 = at * self.pixel_tiles * self.x_words, at * self.w_words
        low, high = T.uint32(0x0F0F0F0F), T.uint32(0xF0F0F0F0)
        if atom.bits != atom.x_bits:  # two bytes of at most 15 as one; padding channels may hold more
            for i in range(self.pixel_tiles * self.x_words // 2):
                first, second = self.xs[x0 + 2 * i], self.xs[x0 + 2 * i + 1]
                TB.buffer_store(self.x_registers, (first & low) | ((second << T.uint32(4)) & high), [i])
            x0 = 0
        taken, halves = atom.registers, atom.halves
        if atom.bits != atom.w_bits:  # 16 w as signed bytes
            for i in range(self.w_words):
                pair = i // halves * 2 * halves + i % halves
                TB.buffer_store(self.w_registers, (self.ws[w0 + i] << T.uint32(4)) & high, [pair])
                TB.buffer_store(self.w_registers, self.ws[w0 + i] & high, [pair + halves])
            w0 = 0
        registers = atom.k_registers(spec.k_group)
        for v in range(0, registers, taken):
            for i in range(self.channel_tiles):
                w = [self.w_registers[w0 + (i * registers + v) * halves + e] for e in range(taken * halves)]
                for j in range(self.pixel_tiles):
                    x = [self.x_registers[x0 + j * registers + v + e] for e in range(taken)]
                    d = [self.acc[(i * self.pixel_tiles + j) * atom.sums + e] for e in range(atom.sums)]
                    ptx(atom.text, *d, *w, *x, *d)
        if atom.counted:
            every = [self.mask[at * self.x_words + e // halves] for e in range(taken * halves)]
            for j in range(self.pixel_tiles):
                x = [self.x_registers[x0 + j * registers + e] for e in range(taken)]
                d = [self.acc[self.ones + j * atom.sums + e] for e in range(atom.sums)]
                ptx(atom.text, *d, *every, *x, *d)

    def mark(self, step: Any, at: int) -> None:
        """The mask of a loaded step: behind the run lies another pixel's."""
        *_, chunk = self.step_words(step)
        words = -(-self.runs.length // 32)
        for e in range(self.x_words):
            inside = chunk * self.k_words + self.t * self.x_words + e < words
            TB.buffer_store(self.mask, T.Select(inside, T.uint32(0xFFFFFFFF), T.uint32(0)), [at * self.x_words + e])
        if self.atom.xor:  # what is no bit of the run must not differ from the zeros of the weights
            for j in range(self.pixel_tiles):
                for e in range(self.x_words):
                    i = (at * self.pixel_tiles + j) * self.x_words + e
                    TB.buffer_store(self.xs, self.xs[i] & self.mask[at * self.x_words + e], [i])

    # what becomes of the sums

    def sum_of(self, j: int, column: int, channel: int) -> Any:
        i, half = divmod(channel, self.atom.halves)
        value = T.reinterpret("int32", self.acc[(i * self.pixel_tiles + j) * self.atom.sums + 2 * half + column])
        if self.atom.counted:
            return 2 * value - T.reinterpret("int32", self.acc[self.ones + j * self.atom.sums + column])
        if self.atom.xor:
            return -value
        return value >> self.atom.shift if self.atom.shift else value

    def finish(self) -> None:
        spec = self.spec
        group = TB.Bind(self.block * 8 + self.g)
        columns = self.epilogue.columns(group)
        here = TB.Bind(self.column + self.wn < spec.blocks)
        for j in range(self.pixel_tiles):
            for column in range(2):
                p = TB.Bind(self.first_pixel() + j * 8 + self.t * 2 + column)
                pixel = Pixel(spec, T.min(p, spec.dst.pixels - 1))
                at = pixel.of(spec.dst), pixel.of(spec.residual)
                valid = T.And(here, p < spec.dst.pixels)
                self.epilogue.write(partial(self.sum_of, j, column), columns, at, group, valid)


class _Direct(_Tile):
    def __init__(self, frame: GpuFrame, spec: ConvSpec, atom: Atom) -> None:
        self.batch = batch_for(spec.mr, spec.nr, spec.k_group, atom)
        self.shares = shares_of(spec)
        super().__init__(frame, spec, atom)
        self.load_unit = self.unit()
        per = self.x_words // self.load_unit  # loads of a thread, side by side
        first = self.first_pixel() + self.g
        self.at = [TB.Bind(self.pixel_units(first + j * 8, self.load_unit) + self.t * per) for j in range(self.pixel_tiles)]
        self.panel = TB.Bind(self.block * self.steps)

    def load(self, step: Any, at: int) -> None:
        """Operands of ``step`` to place ``at`` of the registers."""
        unit = self.load_unit
        offset = self.step_units(step, unit)
        for j in range(self.pixel_tiles):
            for piece in range(self.x_words // unit):
                first = (at * self.pixel_tiles + j) * self.x_words + piece * unit
                load_words(self.xs, first, self.x, self.at[j] + offset + piece, unit)
        n = min(4, self.w_words)
        pieces = self.w_words // n
        start = TB.Bind((self.panel + step) * (pieces * WARP) + self.lane)
        for q in range(pieces):
            load_words(self.ws, at * self.w_words + q * n, self.w, start + q * WARP, n)
        if self.atom.w_bits == 1:
            self.mark(step, at)

    def multiply(self) -> None:
        if self.shares == 1:
            self._range(0, self.steps)
            return
        share = TB.Bind(T.truncdiv(self.warp, T.int32(self.spec.m_tiles * self.spec.n_blocks)))
        start = TB.Bind(share * self.spec.depth)
        self._range(start, TB.Bind(T.min(self.steps - start, self.spec.depth)))
        self._add_up(share)

    def _range(self, start: Any, count: Any) -> None:
        def several(first: Any, size: int) -> None:
            for at in range(size):
                self.load(first + at, at)
            for at in range(size):
                self.multiply_step(at)

        size = self.batch
        if isinstance(count, int):
            whole, rest = divmod(count, size)
            if whole:
                with TB.serial(whole) as i:
                    several(start + i * size, size)
            if rest:
                several(T.int32(start + whole * size), rest)
            return
        with TB.serial(T.truncdiv(count, T.int32(size))) as i:
            several(start + i * size, size)
        if size > 1:
            with TB.serial(T.truncmod(count, T.int32(size))) as i:
                several(start + (count - T.truncmod(count, T.int32(size))) + i, 1)

    def _add_up(self, share: Any) -> None:
        """The sums of the others, added to those of the first share, which alone goes on."""
        tiles, sums = self.spec.m_tiles * self.spec.n_blocks, self.sums
        given = TB.alloc_buffer(((self.shares - 1) * tiles * sums * WARP,), "uint32", scope="shared")
        own = TB.Bind(T.truncmod(self.warp, T.int32(tiles)))
        with TB.If(share > 0), TB.Then():
            for e in range(sums):
                TB.buffer_store(given, self.acc[e], [(((share - 1) * tiles + own) * sums + e) * WARP + self.lane])
        barrier()
        with TB.If(share == 0), TB.Then(), TB.serial(self.shares - 1) as other:
            for e in range(sums):
                TB.buffer_store(self.acc, self.acc[e] + given[((other * tiles + own) * sums + e) * WARP + self.lane], [e])
        self.alone = share == 0

    def finish(self) -> None:
        if self.shares == 1:
            super().finish()
            return
        with TB.If(self.alone), TB.Then():
            super().finish()


class _Wide(_Direct):
    """Numbers of 16 bits as two bytes, x = 256 x_h + x_l with the sign in x_h: products of bytes, summed with those worth as
    much, and the sums in 64 bits."""

    def multiply_step(self, at: int) -> None:
        atom, spec = self.atom, self.spec
        x0, w0 = at * self.pixel_tiles * self.x_words, at * self.w_words
        registers, taken, halves = atom.k_registers(spec.k_group), atom.registers, atom.halves
        inputs = [(self.xs, x0, 0, "u8")]  # registers, the first one, whether high bytes, type
        if atom.x_bits == 16:
            high = _local(self.pixel_tiles * registers)
            for i in range(self.pixel_tiles * registers):
                pair = self.xs[x0 + 2 * i], self.xs[x0 + 2 * i + 1]
                ptx("prmt.b32", high[i], *pair, T.uint32(0x7531))
                ptx("prmt.b32", self.x_registers[i], *pair, T.uint32(0x6420))
            inputs = [(high, 0, 1, "s8"), (self.x_registers, 0, 0, "u8")]
        part = self.w_words // spec.parts
        weights = [(w0, 1, "s8"), (w0 + part, 0, "u8")] if spec.parts == 2 else [(w0, 0, "s8")]
        cells = self.channel_tiles * self.pixel_tiles * atom.sums
        for v in range(0, registers, taken):
            for i in range(self.channel_tiles):
                for first, w_high, w_type in weights:
                    w = [self.ws[first + (i * registers + v) * halves + e] for e in range(taken * halves)]
                    for xs, start, x_high, x_type in inputs:
                        for j in range(self.pixel_tiles):
                            x = [xs[start + j * registers + v + e] for e in range(taken)]
                            cell = (w_high + x_high) * cells + (i * self.pixel_tiles + j) * atom.sums
                            d = [self.acc[cell + e] for e in range(atom.sums)]
                            ptx(atom.text.replace(".s8.u8.", f".{w_type}.{x_type}."), *d, *w, *x, *d)

    def sum_of(self, j: int, column: int, channel: int) -> Any:
        """int64."""
        i, half = divmod(channel, self.atom.halves)
        cells = self.channel_tiles * self.pixel_tiles * self.atom.sums
        at = (i * self.pixel_tiles + j) * self.atom.sums + 2 * half + column
        worth = [T.cast(T.reinterpret("int32", self.acc[s * cells + at]), "int64") for s in range(self.atom.worth)]
        total = worth[0]
        for s in range(1, self.atom.worth):
            total = total + worth[s] * T.int64(1 << (8 * s))
        return total


class _Staged(_Tile):
    def __init__(self, frame: GpuFrame, spec: ConvSpec, atom: Atom) -> None:
        super().__init__(frame, spec, atom)
        self.stages = stages_for(stage_bytes(spec.mr, spec.nr, spec.m_tiles, spec.n_blocks, spec.k_group, atom))
        self.threads = threads_of(spec)
        self.pixels = spec.m_tiles * spec.mr
        self.row = self.k_words // 4  # 16 bytes each
        self.x_units, self.w_units = self.pixels * self.row, spec.n_blocks * self.w_words * WARP // 4
        self.sx = TB.alloc_buffer((self.stages * self.x_units * 4,), "uint32", scope="shared")
        self.sw = TB.alloc_buffer((self.stages * self.w_units * 4,), "uint32", scope="shared")
        self.sources = []
        for i in range(-(-self.x_units // self.threads)):
            row, part = divided(frame.thread + i * self.threads, self.row)
            self.sources.append(TB.Bind(self.pixel_units(self.first * spec.mr + row, 4) + part))

    def fetch(self, step: Any, slot: Any) -> None:
        """The copies of ``step`` into stage ``slot``; no group yet."""
        offset = self.step_units(step, 4)
        for i, source in enumerate(self.sources):
            unit = self.frame.thread + i * self.threads
            self._copy(self.sx, slot * self.x_units, unit, self.x_units, i, self.x, source + offset)
        each = self.w_words * WARP // 4
        for i in range(-(-self.w_units // self.threads)):
            unit = self.frame.thread + i * self.threads
            tile, part = divided(unit, each)
            block = T.min(self.column + tile, self.spec.blocks - 1)
            self._copy(self.sw, slot * self.w_units, unit, self.w_units, i, self.w, (block * self.steps + step) * each + part)

    def _copy(self, to: Any, first: Any, unit: Any, units: int, i: int, source: Any, at: Any) -> None:
        if (i + 1) * self.threads <= units:
            copy16(to, (first + unit) * 4, source, at * 4)
            return
        with TB.If(unit < units), TB.Then():
            copy16(to, (first + unit) * 4, source, at * 4)

    def multiply(self) -> None:
        ahead = self.stages - 1
        for s in range(ahead):
            if s < self.steps:
                self.fetch(T.int32(s), s)
            commit()
        with TB.serial(self.steps) as step:
            wait(ahead - 1)
            barrier()
            with TB.If(step + ahead < self.steps), TB.Then():
                self.fetch(TB.Bind(step + ahead), TB.Bind(T.truncmod(step + ahead, T.int32(self.stages))))
            commit()
            self._load(TB.Bind(T.truncmod(step, T.int32(self.stages))))
            self.multiply_step(0)

    def _load(self, slot: Any) -> None:
        """Operands from shared memory to registers."""
        n = min(4, self.x_words)
        per, line = self.x_words // n, self.k_words // n
        start = TB.Bind((slot * self.pixels + self.wm * self.spec.mr + self.g) * line + self.t * per)
        for j in range(self.pixel_tiles):
            for piece in range(per):
                load_words(self.xs, j * self.x_words + piece * n, self.sx, start + j * 8 * line + piece, n)
        n = min(4, self.w_words)
        pieces = self.w_words // n
        start = TB.Bind((slot * self.spec.n_blocks + self.wn) * (pieces * WARP) + self.lane)
        for q in range(pieces):
            load_words(self.ws, q * n, self.sw, start + q * WARP, n)
