"""Operands straight from device memory to registers, and warps that share the steps of a tile (TensorIR)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.atom import Atom
from lowbit.kernels.gpu.conv2d.tile import Tile, local
from lowbit.kernels.gpu.conv2d.tiling import WARP, batch_for, shares_of
from lowbit.kernels.gpu.epilogue import load_words
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.ptx import barrier, ptx
from lowbit.kernels.gpu.words import added

__all__ = ["Direct", "Wide"]


class Direct(Tile):
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
        if self.masked:
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
        given = TB.alloc_buffer(((self.shares - 1) * tiles * sums * WARP,), self.sum_type, scope="shared")
        own = TB.Bind(T.truncmod(self.warp, T.int32(tiles)))
        with TB.If(share > 0), TB.Then():
            for e in range(sums):
                TB.buffer_store(given, self.acc[e], [(((share - 1) * tiles + own) * sums + e) * WARP + self.lane])
        barrier()
        with TB.If(share == 0), TB.Then(), TB.serial(self.shares - 1) as other:
            for e in range(sums):
                value = given[((other * tiles + own) * sums + e) * WARP + self.lane]
                TB.buffer_store(self.acc, added(self.acc[e], value) if self.atom.floats else self.acc[e] + value, [e])
        self.alone = share == 0

    def finish(self) -> None:
        if self.shares == 1:
            super().finish()
            return
        with TB.If(self.alone), TB.Then():
            super().finish()


class Wide(Direct):
    """Numbers of 16 bits as two bytes, x = 256 x_h + x_l with the sign in x_h: products of bytes, summed with those worth as
    much, and the sums in 64 bits."""

    def multiply_step(self, at: int) -> None:
        atom, spec = self.atom, self.spec
        x0, w0 = at * self.pixel_tiles * self.x_words, at * self.w_words
        registers, taken, halves = atom.k_registers(spec.k_group), atom.registers, atom.halves
        inputs = [(self.xs, x0, 0, "u8")]  # registers, the first one, whether high bytes, type
        if atom.x_bits == 16:
            high = local(self.pixel_tiles * registers)
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
