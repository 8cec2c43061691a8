"""DepthwiseSpec for GPUs: bytes by bytes, four channels of a few neighbouring pixels a thread.

Neighbouring threads read neighbouring words.  An input column is loaded and taken apart once for all the pixels and taps of the
thread that read it, a kernel row's weights once for all its pixels.  Other operands are computed as on CPUs (spread.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.depthwise_conv2d import schedule
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.depthwise_conv2d.tile import column_readers
from lowbit.kernels.gpu.epilogue import GpuEpilogue
from lowbit.kernels.gpu.function import gpu_kernel, threads_of
from lowbit.kernels.layout import Layout
from lowbit.kernels.rows import divided
from lowbit.targets import Target

__all__ = ["build"]

_EACH = 4  # channels of a word
_ENOUGH = 1 << 15  # threads
_PIXELS = (4, 2, 1)


def build(spec: DepthwiseSpec, target: Target) -> Any:
    if spec.form != "i8" or spec.src.dtype != "u8" or spec.wide:
        return schedule.build(spec, target)
    src, dst = spec.src, spec.dst
    words = -(-dst.c // 16) * 16 // _EACH
    rows = dst.n * dst.h
    width = next(p for p in _PIXELS if p == 1 or (p <= dst.w and rows * -(-dst.w // p) * words >= _ENOUGH))
    groups = -(-dst.w // width)
    count = rows * groups * words
    pointers = GpuEpilogue.pointers() | {"x": ("uint32", src.nbytes // 4), "w": ("uint32", spec.taps * dst.stride // _EACH)}
    with gpu_kernel(spec.symbol(target.name), threads_of(count), **pointers) as k, k.one_of(count) as index:
        epilogue = GpuEpilogue(k, spec, dst.stride, _EACH)
        rest, word = divided(index, words)
        row, group = divided(rest, groups)
        image, y = divided(row, dst.h)
        x = TB.Bind(T.min(group * width, dst.w - width))  # the last ones may compute some pixels again
        sums = TB.alloc_buffer((width * _EACH,), "int32", scope="local")
        for i in range(width * _EACH):
            TB.buffer_store(sums, T.int32(0), [i])
        top, left = spec.origin
        line = src.stride // _EACH
        first = (image * src.hp + y * spec.stride[0] + top) * src.wp + x * spec.stride[1] + left
        first = TB.Bind(first * line + word)
        with TB.serial(spec.kernel[0]) as ky:
            weights = [
                _signed(TB.Bind(k.w[(ky * spec.kernel[1] + kx) * (dst.stride // _EACH) + word])) for kx in range(spec.kernel[1])
            ]
            start = TB.Bind(first + ky * (spec.dilation[0] * src.wp * line))
            for column, readers in column_readers(width, spec.kernel[1], spec.stride[1], spec.dilation[1]):
                values = _unsigned(TB.Bind(k.x[start + column * line]))
                for pixel, tap in readers:
                    for j in range(_EACH):
                        at = pixel * _EACH + j
                        TB.buffer_store(sums, sums[at] + values[j] * weights[tap][j], [at])
        columns = epilogue.columns(word)
        for i in range(width):
            places = _pixel(dst, image, y, x + i), _pixel(spec.residual, image, y, x + i)
            epilogue.write(partial(_sum, sums, i), columns, places, word, T.bool(True))
    return k.func


def _sum(sums: Any, pixel: int, channel: int) -> Any:
    return sums[pixel * _EACH + channel]


def _pixel(layout: Layout | None, image: Any, y: Any, x: Any) -> Any:
    return 0 if layout is None else TB.Bind((image * layout.hp + y + layout.top) * layout.wp + x + layout.left)


def _unsigned(word: Any) -> list[Any]:
    """Its bytes as int32."""
    return [TB.Bind(T.cast((word >> T.uint32(8 * j)) & T.uint32(255), "int32")) for j in range(_EACH)]


def _signed(word: Any) -> list[Any]:
    """Its signed bytes as int32."""
    whole = T.reinterpret("int32", word)
    return [TB.Bind((whole << (24 - 8 * j) if j < 3 else whole) >> 24) for j in range(_EACH)]
