"""Operands through shared memory, copied some steps ahead (TensorIR)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.atom import Atom
from lowbit.kernels.gpu.conv2d.tile import Tile
from lowbit.kernels.gpu.conv2d.tiling import WARP, stage_bytes, stages_for, threads_of
from lowbit.kernels.gpu.epilogue import load_words
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.ptx import barrier, commit, copy16, wait
from lowbit.kernels.rows import divided

__all__ = ["Staged"]


class Staged(Tile):
    def __init__(self, frame: GpuFrame, spec: ConvSpec, atom: Atom) -> None:
        super().__init__(frame, spec, atom)
        if spec.nr & (spec.nr - 1):  # 48 gives wrong results; no search proposes it
            raise ValueError(f"{spec.form}: tiles have a power of two of channels, not {spec.nr}")
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
