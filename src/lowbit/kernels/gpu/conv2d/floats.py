"""ConvSpec of float32 -> TensorIR for GPUs: four channels of a few pixels a thread, fused multiply-adds.

A warp has ``mr`` pixels x 32 channels: lane 8 p + c has channels 4 c .. 4 c + 3 of the block and pixels p, p + 4, p + 8, ...  A
step is four values of K: a vector of each pixel, which eight lanes read together, and four of weights, which four lanes do.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.pixels import Pixel
from lowbit.kernels.gpu.conv2d.tiling import WARP
from lowbit.kernels.gpu.epilogue import load_words, store_words
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.launch import Launch
from lowbit.kernels.gpu.words import added
from lowbit.targets import Target

__all__ = ["CHANNELS", "LANES", "build"]

LANES = 4  # pixels of a warp beside each other
CHANNELS = 32  # of a block
_EACH = 4  # channels of a thread, values of a step


def _local(count: int) -> Any:
    return TB.alloc_buffer((count,), "float32", scope="local")


def build(spec: ConvSpec, target: Target) -> Any:
    src, dst, residual = spec.src, spec.dst, spec.residual
    runs = find_runs(spec, spec.k_group)
    chunks, pixels = runs.steps(spec.k_group), spec.mr // LANES
    steps, channels = runs.count * chunks, spec.blocks * spec.nr
    pointers = {
        "x": ("float32", src.elements + 16),
        "w": ("float32", spec.blocks * steps * spec.nr * _EACH),
        "b": ("float32", channels),
        "s": ("float32", 2),
        "o": ("float32", dst.elements),
    } | ({} if residual is None else {"r": ("float32", residual.elements)})
    grid = (-(-spec.tiles // spec.m_tiles), spec.blocks, 1)
    with gpu_kernel(spec.symbol(target.name), Launch(grid, WARP * spec.m_tiles), **pointers) as k:
        lane, warp = TB.Bind(k.thread & 31), TB.Bind(k.thread >> 5)
        first = TB.Bind((k.block[0] * spec.m_tiles + warp) * spec.mr + (lane >> 3))
        group = TB.Bind(lane & 7)
        numbers = [TB.Bind(first + i * LANES) for i in range(pixels)]
        places = [Pixel(spec, T.min(p, dst.pixels - 1)) for p in numbers]
        at = [TB.Bind(place.input() * (src.stride // _EACH)) for place in places]
        sums, x, w = _local(pixels * _EACH), _local(pixels * _EACH), _local(_EACH * _EACH)
        for i in range(pixels * _EACH):
            TB.buffer_store(sums, T.float32(0), [i])
        with TB.serial(runs.rows) as ky, TB.serial(runs.columns) as kx, TB.serial(chunks) as chunk:
            line = src.stride // _EACH
            offset = TB.Bind((ky * (spec.dilation[0] * src.wp) + kx * spec.dilation[1]) * line + chunk)
            step = (k.block[1] * steps + (ky * runs.columns + kx) * chunks + chunk) * (spec.nr // _EACH)
            unit = TB.Bind((step + group) * _EACH)
            for i in range(pixels):
                load_words(x, i * _EACH, k.x, at[i] + offset, _EACH)
            for j in range(_EACH):
                load_words(w, j * _EACH, k.w, unit + j, _EACH)
            for e in range(_EACH):
                for i in range(pixels):
                    for j in range(_EACH):
                        cell = i * _EACH + j
                        value = T.call_pure_extern("float32", "__fmaf_rn", x[i * _EACH + e], w[j * _EACH + e], sums[cell])
                        TB.buffer_store(sums, value, [cell])
        column = TB.Bind(k.block[1] * (spec.nr // _EACH) + group)
        bias, rest, out = _local(_EACH), _local(_EACH), _local(_EACH)
        load_words(bias, 0, k.b, column, _EACH)
        lo, hi = TB.Bind(k.s[0]), TB.Bind(k.s[1])
        written = min(dst.stride, -(-dst.c // 16) * 16)
        for i in range(pixels):
            with TB.If(T.And(numbers[i] < dst.pixels, column * _EACH < written)), TB.Then():
                if residual is not None:
                    load_words(rest, 0, k.r, places[i].of(residual) * (residual.stride // _EACH) + column, _EACH)
                for j in range(_EACH):
                    value = added(sums[i * _EACH + j], bias[j])
                    value = TB.Bind(value if residual is None else added(value, rest[j]))
                    value = TB.Bind(T.Select(value < lo, lo, value))  # NaN stays NaN
                    TB.buffer_store(out, T.Select(value > hi, hi, value), [j])
                store_words(k.o, places[i].of(dst) * (dst.stride // _EACH) + column, out, _EACH)
    return k.func
