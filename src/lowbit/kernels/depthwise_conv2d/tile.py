"""How a row of output pixels is cut into tiles."""

from __future__ import annotations

from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.targets import Target

__all__ = ["column_readers", "tile_width"]

_SPARE = 4  # registers for the column in flight and its products
_LOAD, _MULTIPLY, _FINISH = 2, 2, 12  # instructions: widen a row, multiply-add, from accumulator to memory


def tile_width(spec: DepthwiseSpec, target: Target) -> int:
    """Output pixels a tile: no more than the registers that the weights leave free, and of these the
    width with the fewest instructions a row (the last tile overlaps the one before, and computes its
    pixels again)."""
    row, (kh, kw), parts = spec.dst.w, spec.kernel, 2 if spec.wide else 1
    neon = "neon" in target.features and spec.form != "f32"  # a pixel's sums are two registers, rows are not paired
    groups = kh if spec.form == "f32" or neon else -(-kh // 2)
    free = (target.registers - groups * kw * parts - _SPARE) // (2 if neon else 1)
    most = min(row, max(4 // parts, min(8, free // parts)))

    def instructions(width: int) -> int:
        columns = len(column_readers(width, kw, spec.stride[1], spec.dilation[1]))
        return -(-row // width) * (columns * kh * _LOAD + width * (groups * kw * parts * _MULTIPLY + _FINISH))

    return min(range(1, most + 1), key=lambda width: (instructions(width), width))


def column_readers(width: int, taps: int, stride: int, dilation: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """For every input column of a tile, in order, the (output pixel, tap) pairs that read it.

    column = pixel * stride + tap * dilation, counted from the first pixel's first tap.
    """
    readers: dict[int, list[tuple[int, int]]] = {}
    for pixel in range(width):
        for tap in range(taps):
            readers.setdefault(pixel * stride + tap * dilation, []).append((pixel, tap))
    return sorted(readers.items())
