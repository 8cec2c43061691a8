"""WinogradSpec -> TensorIR: inputs of a block of tiles transformed, multiplied position by position, transformed back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.forms import find_form
from lowbit.kernels.conv2d.runs import Runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.conv2d.tile import Tile
from lowbit.kernels.data_movement.spec import word_roles
from lowbit.kernels.epilogue import LANES, Epilogue, epilogue_of, epilogue_pointers
from lowbit.kernels.intrinsics.pairs import add_products, offset_bytes
from lowbit.kernels.layout import ELEMENT_BYTES, Layout
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import convert, load, load_channels, splat, store, wrapping
from lowbit.kernels.winograd.rings import modular, plain
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.kernels.winograd.transforms import MATRICES, input_1d, output_1d, transform_2d, weights_1d
from lowbit.targets import Target

__all__ = ["build"]

_INVERSE_OF_9 = 954437177  # modulo 2^32


def build(spec: WinogradSpec, target: Target) -> Any:
    """The PrimFunc of ``spec``."""
    sums = _as_convolution(spec)
    ops = _wrapping_sums(find_form(spec.form).inner_step(sums, target))
    channels = spec.blocks * spec.nr
    integer = spec.element != "f32"
    pointers = epilogue_pointers(channels, spec.dst, spec.residual, integer, False)
    if spec.bias_rows:
        pointers["b"] = ("int32", channels * (1 + spec.bias_rows))
    pointers["x"] = (TIR_DTYPE[spec.src.dtype], spec.src.elements + 64)
    pointers["w"] = ("int8" if integer else "float32", spec.blocks * 9 * spec.steps * spec.nr * spec.k_group)
    pointers["m"] = ("void", 0)
    with kernel_function(spec.symbol(target.name), **pointers) as kernel:
        epilogue = epilogue_of(kernel, spec, channels, integer, False, target)
        _Nest(kernel, spec, sums, ops, epilogue, target).emit()
    return kernel.func


def _as_convolution(spec: WinogradSpec) -> ConvSpec:
    """The sums over channels at one position: a 1x1 convolution that reads V from scratch memory."""
    tiles = Layout(1, 1, spec.tb, spec.steps * spec.k_group, spec.src.stride, spec.element)
    return ConvSpec(
        op="conv2d",
        src=tiles,
        dst=spec.dst,
        kernel=(1, 1),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(0, 0),
        act=spec.act,
        weight=spec.weight,
        form=spec.form,
        k_group=spec.k_group * (2 if spec.pairs else 1),
        depth=spec.depth,
        mr=spec.mr,
        nr=spec.nr,
        m_tiles=1,
        n_blocks=1,
    )


def _wrapping_sums(ops: Arithmetic) -> Arithmetic:
    """``ops`` whose int32 sums may wrap; instructions that add by themselves do anyway."""
    product = ops.product
    if product is None:
        return ops
    return replace(ops, step=lambda acc, a, w: wrapping("add", acc, product(a, w), "int32", ops.lanes))


class _Nest:
    """The loops, from the outside in."""

    def __init__(
        self, kernel: KernelFrame, spec: WinogradSpec, sums: ConvSpec, ops: Arithmetic, epilogue: Epilogue, target: Target
    ) -> None:
        self.kernel, self.spec, self.sums, self.ops, self.epilogue = kernel, spec, sums, ops, epilogue
        self.dtype, self.u_dtype = TIR_DTYPE[spec.element], ops.weight[0]
        self.word = "int32" if spec.element != "f32" else "float32"
        u_words, v_words, m_words, _ = spec.scratch_words  # scratch: U, V, M, what the sums start from
        self.products, self.starts = u_words + v_words, u_words + v_words + m_words
        self.per_word = 4 // ELEMENT_BYTES[spec.element]
        self.inputs = u_words * self.per_word
        self.words = kernel.view("m", self.word, sum(spec.scratch_words))
        self.v = kernel.view("m", self.dtype, (u_words + v_words) * self.per_word)
        self.u = kernel.view("m", self.u_dtype, u_words * self.per_word)
        self.inside = KernelFrame({**kernel.buffers, "x": self.v, "w": self.u})  # what the tiles of M read
        wide = target.vector_bytes // np.dtype(self.dtype).itemsize
        self.lanes = next(lanes for lanes in (wide, wide // 2, 16, 8, 4) if lanes <= wide and spec.src.stride % lanes == 0)

    def emit(self) -> None:
        spec = self.spec
        with TB.serial(self.kernel.lo, self.kernel.hi) as unit:
            part, group = divided(unit, spec.groups)
            first = TB.Bind(T.min(part * spec.tb, T.int32(spec.tiles - spec.tb)))
            with TB.If(T.Or(group == 0, unit == self.kernel.lo)), TB.Then(), TB.serial(spec.tb) as tile:
                self._transform_input(first, tile)
            start = TB.Bind(group * spec.n_blocks)
            blocks = TB.Bind(T.min(spec.n_blocks, spec.blocks - start))
            with TB.If(T.Or(T.bool(spec.groups > 1), unit == self.kernel.lo)), TB.Then(), TB.serial(T.int32(0), blocks) as n:
                self._transform_weights(start, n)
            with TB.serial(T.int32(0), blocks) as n:
                with TB.serial(spec.positions) as position, TB.serial(-(-spec.tb // spec.mr)) as m:
                    self._multiply(n, position, TB.Bind(T.min(m * spec.mr, T.int32(spec.tb - spec.mr))))
                channel = TB.Bind((start + n) * spec.nr)
                with TB.serial(spec.tb) as tile:
                    for lane in range(0, spec.nr, LANES):
                        self._transform_output(first, tile, channel, lane)

    def _place(self, tile: Any) -> tuple[Any, Any, Any]:
        """(image, y, x) of a tile's first output.  The last tiles of a row and column overlap those before."""
        spec = self.spec
        dst, across, down = spec.dst, -(-spec.dst.w // spec.m), -(-spec.dst.h // spec.m)
        row, column = divided(tile, across)
        image, row = divided(row, down) if dst.n > 1 else (0, row)
        y, x = row * spec.m, column * spec.m
        return (
            image,
            T.min(y, T.int32(dst.h - spec.m)) if dst.h % spec.m else y,
            T.min(x, T.int32(dst.w - spec.m)) if dst.w % spec.m else x,
        )

    def _transform_input(self, first: Any, tile: Any) -> None:
        """V of one tile: B^T d B, as 32-bit words [position][tile][channels]."""
        spec, src, lanes, dtype = self.spec, self.spec.src, self.lanes, self.dtype
        image, y, x = self._place(first + tile)
        base = TB.Bind(src.offset(image, y - spec.padding[0], x - spec.padding[1], 0))
        ring = modular("int8", lanes) if dtype == "uint8" else plain(dtype, lanes)
        size = spec.m + 2
        words = lanes // self.per_word
        roles = word_roles(words, self.ops.alone is not None)
        sums = [TB.alloc_buffer((words,), "int32", scope="global") for _ in range(spec.positions if spec.pairs else 0)]
        for total in sums:
            store(total, 0, splat(0, "int32", words), words)

        def transform(chunk: Any, real: int) -> None:
            """``real`` channels of a chunk hold values; others may hold anything, which a sum of pairs has no room for."""
            at = TB.Bind(base + chunk * lanes)

            def value(i: int, j: int) -> Any:
                stored = load_channels(self.kernel.x, at + (i * src.wp + j) * src.stride, real, lanes)
                return TB.Bind(T.reinterpret(f"int8x{lanes}", stored) if dtype == "uint8" else convert(stored, dtype, lanes))

            result = transform_2d(lambda d: input_1d(ring, d), [[value(i, j) for j in range(size)] for i in range(size)])
            to = TB.Bind(self.inputs + tile * src.stride + chunk * lanes)
            for i in range(size):
                for j in range(size):
                    v = result[i][j]
                    offset = spec.offset if (i, j) != (1, 1) else 0
                    if offset or spec.first or spec.second:
                        v = ring.add(v, offset_bytes(spec.first, spec.second, offset, roles))
                    if spec.pairs:
                        total = sums[i * size + j]
                        values = T.reinterpret(f"uint8x{lanes}", v) if dtype == "uint8" else v
                        added = add_products(load(total, 0, words), values, dtype == "int16", True, roles)
                        store(total, 0, added, words)
                    if dtype == "uint8":
                        v = T.reinterpret(f"uint8x{lanes}", v)
                    store(self.v, to + (i * size + j) * spec.pitches[1] * self.per_word, v, lanes)

        chunks = src.stride // lanes
        full = src.c // lanes if spec.pairs else chunks
        with TB.serial(full) as chunk:
            transform(chunk, lanes)
        for last in range(full, chunks):
            transform(last, max(0, src.c - last * lanes))
        for position, total in enumerate(sums):
            summed = T.call_llvm_pure_intrin("int32", "llvm.vector.reduce.add", load(total, 0, words))
            store(self.words, self.starts + position * spec.tb + tile, T.int32(0) - summed, 1)

    def _transform_weights(self, start: Any, n: Any) -> None:
        """U of one channel block: G w G^T, as [position][step][nr][k_group]."""
        spec, dtype = self.spec, "float32" if self.word == "float32" else "int16"  # which holds every U
        row = spec.nr * spec.k_group
        lanes = max(16, self.lanes * np.dtype(self.dtype).itemsize // np.dtype(dtype).itemsize)
        lanes = lanes if row % lanes == 0 else 16
        ring = plain(dtype, lanes)
        with TB.serial(spec.steps) as step, TB.serial(row // lanes) as part:
            at = TB.Bind(((start + n) * (9 * spec.steps) + step) * row + part * lanes)
            between = spec.pitches[0] * self.per_word
            to = TB.Bind(n * (spec.positions * between) + step * row + part * lanes)
            pitch = spec.steps * row

            def tap(i: int, j: int) -> Any:
                return TB.Bind(convert(load(self.kernel.w, at + (3 * i + j) * pitch, lanes), dtype, lanes))

            taps = [[tap(i, j) for j in range(3)] for i in range(3)]
            result = transform_2d(lambda g: weights_1d(ring, g, spec.m), taps)
            for position, value in enumerate(value for row in result for value in row):
                store(self.u, to + position * between, convert(value, self.u_dtype, lanes), lanes)

    def _multiply(self, block: Any, position: Any, m0: Any) -> None:
        """M of ``mr`` tiles and ``nr`` channels, those of U's ``block``, at one position."""
        spec = self.spec
        tile = Tile(
            self.inside, self.sums, self.ops, Runs(1, 1, self.sums.src.c, self.sums.src.c), spec.nr // self.ops.lanes, spec.mr
        )
        _, v, m = spec.pitches
        at = TB.Bind(self.inputs + position * (v * self.per_word) + m0 * spec.src.stride)
        to = TB.Bind(self.products + position * m + m0 * spec.nr)
        rows = spec.pitches[0] * self.per_word // (spec.nr * spec.k_group * self.ops.rows)
        row = TB.Bind((block * spec.positions + position) * rows)
        start = TB.Bind(self.starts + position * spec.tb + m0)
        first = [TB.Bind(self.words[start + i]) for i in range(spec.mr)] if spec.pairs else None
        tile.compute([at + i * spec.src.stride for i in range(spec.mr)], row, block, first)
        for i in range(spec.mr):
            for lane, total in tile.results(i):
                store(self.words, to + i * spec.nr + lane, total)

    def _transform_output(self, first: Any, tile: Any, channel: Any, lane: int) -> None:
        """The m x m results of one tile and sixteen channels."""
        spec, dst, m = self.spec, self.spec.dst, self.spec.m
        integer = spec.element != "f32"
        ring = modular("int32", LANES) if integer else plain("float32", LANES)
        at = TB.Bind(self.products + tile * spec.nr + lane)
        size, pitch = m + 2, spec.pitches[2]

        def value(i: int, j: int) -> Any:
            return TB.Bind(load(self.words, at + (i * size + j) * pitch))

        result = transform_2d(lambda column: output_1d(ring, column), [[value(i, j) for j in range(size)] for i in range(size)])
        image, y, x = self._place(first + tile)
        columns = self.epilogue.columns(channel + lane)
        to = TB.Bind(dst.offset(image, y, x, 0) + channel + lane)
        other = spec.residual
        residual = TB.Bind(other.offset(image, y, x, 0) + channel + lane) if other else 0
        for i in range(m):
            for j in range(m):
                acc = self._total(result[i][j], i * m + j, channel + lane)
                residual_at = residual + (i * other.wp + j) * other.stride if other else 0
                self.epilogue.write(acc, columns, to + (i * dst.wp + j) * dst.stride, residual_at)

    def _total(self, scaled: Any, output: int, channel: Any) -> Any:
        """acc from A^T M A."""
        spec = self.spec
        ring = modular("int32", LANES)
        if spec.element == "f32":
            return scaled * splat(1.0 / MATRICES[spec.m].scale ** 2, "float32")
        if spec.bias_rows:
            scaled = ring.sub(scaled, load(self.kernel.b, channel + spec.blocks * spec.nr * (1 + output)))
        if spec.m == 2:
            return TB.Bind(T.shift_right(scaled, splat(2, "int32")))
        return TB.Bind(T.shift_right(wrapping("mul", scaled, splat(_INVERSE_OF_9, "int32"), "int32"), splat(6, "int32")))
