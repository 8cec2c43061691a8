"""ConvSpec of float32 -> TensorIR for GPUs: tiles of threads (warps.py), fused multiply-adds.

A step reads a vector of each pixel, which eight lanes read together, and four of weights, which four lanes do.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.warps import EACH, steps_of, thread_tile, warps_of
from lowbit.kernels.gpu.epilogue import load_words, store_words
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.words import added
from lowbit.targets import Target

__all__ = ["build"]


def _local(count: int) -> Any:
    return TB.alloc_buffer((count,), "float32", scope="local")


def build(spec: ConvSpec, target: Target) -> Any:
    dst, residual = spec.dst, spec.residual
    pointers = {
        "x": ("float32", spec.src.elements + 16),
        "w": ("float32", steps_of(spec) * spec.nr * EACH),
        "b": ("float32", spec.blocks * spec.nr),
        "s": ("float32", 2),
        "o": ("float32", dst.elements),
    } | ({} if residual is None else {"r": ("float32", residual.elements)})
    with gpu_kernel(spec.symbol(target.name), warps_of(spec), **pointers) as k:
        tile = thread_tile(k, spec)
        pixels = range(len(tile.numbers))
        sums, x, w = _local(len(pixels) * EACH), _local(len(pixels) * EACH), _local(EACH * EACH)
        for i in range(len(pixels) * EACH):
            TB.buffer_store(sums, T.float32(0), [i])
        with tile.each_step(k) as (offset, weights):
            unit = TB.Bind(weights * EACH)
            for i in pixels:
                load_words(x, i * EACH, k.x, tile.inputs[i] + offset, EACH)
            for j in range(EACH):
                load_words(w, j * EACH, k.w, unit + j, EACH)
            for e in range(EACH):
                for i in pixels:
                    for j in range(EACH):
                        cell = i * EACH + j
                        value = T.call_pure_extern("float32", "__fmaf_rn", x[i * EACH + e], w[j * EACH + e], sums[cell])
                        TB.buffer_store(sums, value, [cell])
        column = tile.column(k)
        bias, rest, out = _local(EACH), _local(EACH), _local(EACH)
        load_words(bias, 0, k.b, column, EACH)
        lo, hi = TB.Bind(k.s[0]), TB.Bind(k.s[1])
        written = min(dst.stride, -(-dst.c // 16) * 16)
        for i in pixels:
            with TB.If(T.And(tile.numbers[i] < dst.pixels, column * EACH < written)), TB.Then():
                if residual is not None:
                    load_words(rest, 0, k.r, tile.places[i].of(residual) * (residual.stride // EACH) + column, EACH)
                for j in range(EACH):
                    value = added(sums[i * EACH + j], bias[j])
                    value = TB.Bind(value if residual is None else added(value, rest[j]))
                    value = TB.Bind(T.Select(value < lo, lo, value))  # NaN stays NaN
                    TB.buffer_store(out, T.Select(value > hi, hi, value), [j])
                store_words(k.o, tile.places[i].of(dst) * (dst.stride // EACH) + column, out, EACH)
    return k.func
