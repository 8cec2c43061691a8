"""A warp's tile of a convolution by tensor cores: where its operands lie, how they are multiplied, what becomes of the sums
(TensorIR)."""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.atom import Atom
from lowbit.kernels.gpu.conv2d.pixels import Pixel
from lowbit.kernels.gpu.conv2d.tiling import WARP, runs_of
from lowbit.kernels.gpu.epilogue import GpuEpilogue
from lowbit.kernels.gpu.float_epilogue import FloatEpilogue
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.ptx import ptx
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import divided

__all__ = ["Tile", "local"]


def local(words: int, dtype: str = "uint32") -> Any:
    return TB.alloc_buffer((words,), dtype, scope="local")


class Tile:
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
        epilogue = FloatEpilogue if atom.floats else GpuEpilogue
        self.epilogue = epilogue(frame, spec, spec.blocks * spec.nr, spec.nr // 8)
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
        self.acc = local(self.sums, self.sum_type)
        self.xs = local(self.pixel_tiles * self.x_words * self.batch)
        self.ws = local(self.w_words * self.batch)
        narrow = atom.bits < atom.x_bits
        self.x_registers = local(self.pixel_tiles * self.x_words // 2) if narrow else self.xs
        self.w_registers = self.ws if atom.bits == atom.w_bits else local(2 * self.w_words)
        for i in range(self.sums):
            TB.buffer_store(self.acc, getattr(T, self.sum_type)(0), [i])
        if self.masked:
            self.mask = local(self.x_words * self.batch)  # which bits belong to the run

    batch = 1

    @property
    def sum_type(self) -> str:
        return "float32" if self.atom.floats else "uint32"

    @property
    def masked(self) -> bool:
        """Whether what lies behind a run must be made zeros, or be known: a weight of 0 does not undo infinity or NaN, nor does
        single bits' counting have weights of 0."""
        return self.atom.w_bits == 1 or (self.atom.floats and self.runs.length % self.spec.k_group > 0)

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
        words = -(-self.runs.length * self.atom.x_bits // 32)
        for e in range(self.x_words):
            inside = chunk * self.k_words + self.t * self.x_words + e < words
            TB.buffer_store(self.mask, T.Select(inside, T.uint32(0xFFFFFFFF), T.uint32(0)), [at * self.x_words + e])
        if self.atom.xor or self.atom.floats:  # bits behind the run must not differ from the zeros of the weights
            for j in range(self.pixel_tiles):
                for e in range(self.x_words):
                    i = (at * self.pixel_tiles + j) * self.x_words + e
                    TB.buffer_store(self.xs, self.xs[i] & self.mask[at * self.x_words + e], [i])

    # what becomes of the sums

    def sum_of(self, j: int, column: int, channel: int) -> Any:
        i, half = divmod(channel, self.atom.halves)
        value = self.acc[(i * self.pixel_tiles + j) * self.atom.sums + 2 * half + column]
        if self.atom.floats:
            return value
        value = T.reinterpret("int32", value)
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
