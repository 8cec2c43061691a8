"""ConvSpec of bytes -> TensorIR for GPUs without tensor cores: four channels of a few pixels a thread, four products in one dp4a.

A warp is as in floats.py.  A step is four values of K: a word of each pixel, which eight lanes read together, and a word of
each of four channels, in one load of 16 bytes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.floats import LANES
from lowbit.kernels.gpu.conv2d.pixels import Pixel
from lowbit.kernels.gpu.conv2d.tiling import WARP
from lowbit.kernels.gpu.epilogue import GpuEpilogue, load_words
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.launch import Launch
from lowbit.kernels.gpu.ptx import dp4a
from lowbit.targets import Target

__all__ = ["build"]

_EACH = 4  # channels of a thread, values of a step


def build(spec: ConvSpec, target: Target) -> Any:
    src, dst = spec.src, spec.dst
    runs = find_runs(spec, spec.k_group)
    chunks, pixels = runs.steps(spec.k_group), spec.mr // LANES
    steps, channels = runs.count * chunks, spec.blocks * spec.nr
    pointers = GpuEpilogue.pointers() | {
        "x": ("uint32", src.nbytes // 4 + 16),
        "w": ("uint32", spec.blocks * steps * spec.nr),
    }
    grid = (-(-spec.tiles // spec.m_tiles), spec.blocks, 1)
    with gpu_kernel(spec.symbol(target.name), Launch(grid, WARP * spec.m_tiles), **pointers) as k:
        epilogue = GpuEpilogue(k, spec, channels, _EACH)
        lane, warp = TB.Bind(k.thread & 31), TB.Bind(k.thread >> 5)
        first = TB.Bind((k.block[0] * spec.m_tiles + warp) * spec.mr + (lane >> 3))
        group = TB.Bind(lane & 7)
        numbers = [TB.Bind(first + i * LANES) for i in range(pixels)]
        places = [Pixel(spec, T.min(p, dst.pixels - 1)) for p in numbers]
        line = src.stride // _EACH
        at = [TB.Bind(place.input() * line) for place in places]
        sums = TB.alloc_buffer((pixels * _EACH,), "int32", scope="local")
        w = TB.alloc_buffer((_EACH,), "uint32", scope="local")
        for i in range(pixels * _EACH):
            TB.buffer_store(sums, T.int32(0), [i])
        with TB.serial(runs.rows) as ky, TB.serial(runs.columns) as kx, TB.serial(chunks) as chunk:
            offset = TB.Bind((ky * (spec.dilation[0] * src.wp) + kx * spec.dilation[1]) * line + chunk)
            step = (k.block[1] * steps + (ky * runs.columns + kx) * chunks + chunk) * (spec.nr // _EACH)
            load_words(w, 0, k.w, step + group, _EACH)
            for i in range(pixels):
                x = TB.Bind(k.x[at[i] + offset])
                for j in range(_EACH):
                    dp4a(sums, i * _EACH + j, x, w[j])
        column = TB.Bind(k.block[1] * (spec.nr // _EACH) + group)
        columns = epilogue.columns(column)
        for i in range(pixels):
            to = places[i].of(dst), places[i].of(spec.residual)
            epilogue.write(partial(_sum, sums, i), columns, to, column, numbers[i] < dst.pixels)
    return k.func


def _sum(sums: Any, pixel: int, channel: int) -> Any:
    return sums[pixel * _EACH + channel]
