"""ConvSpec of bytes -> TensorIR for GPUs without tensor cores: tiles of threads (warps.py), four products in one dp4a.

A step reads a word of each pixel, which eight lanes read together, and a word of each of four channels, in one load of 16 bytes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.warps import EACH, steps_of, thread_tile, warps_of
from lowbit.kernels.gpu.epilogue import GpuEpilogue, load_words
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.ptx import dp4a
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ConvSpec, target: Target) -> Any:
    pointers = GpuEpilogue.pointers() | {
        "x": ("uint32", spec.src.nbytes // 4 + 16),
        "w": ("uint32", steps_of(spec) * spec.nr),
    }
    with gpu_kernel(spec.symbol(target.name), warps_of(spec), **pointers) as k:
        epilogue = GpuEpilogue(k, spec, spec.blocks * spec.nr, EACH)
        tile = thread_tile(k, spec)
        pixels = range(len(tile.numbers))
        sums = TB.alloc_buffer((len(pixels) * EACH,), "int32", scope="local")
        w = TB.alloc_buffer((EACH,), "uint32", scope="local")
        for i in range(len(pixels) * EACH):
            TB.buffer_store(sums, T.int32(0), [i])
        with tile.each_step(k) as (offset, weights):
            load_words(w, 0, k.w, weights, EACH)
            for i in pixels:
                x = TB.Bind(k.x[tile.inputs[i] + offset])
                for j in range(EACH):
                    dp4a(sums, i * EACH + j, x, w[j])
        column = tile.column(k)
        columns = epilogue.columns(column)
        for i in pixels:
            to = tile.places[i].of(spec.dst), tile.places[i].of(spec.residual)
            epilogue.write(partial(_sum, sums, i), columns, to, column, tile.numbers[i] < spec.dst.pixels)
    return k.func


def _sum(sums: Any, pixel: int, channel: int) -> Any:
    return sums[pixel * EACH + channel]
