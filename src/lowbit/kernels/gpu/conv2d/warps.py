"""Convolutions whose threads have four channels of a few pixels: who computes what, and the steps of K.

A warp has ``mr`` pixels x 32 channels: lane 8 p + c has channels 4 c .. 4 c + 3 of the block and pixels p, p + 4, p + 8, ...  A
step is four values of K.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.pixels import Pixel
from lowbit.kernels.gpu.conv2d.tiling import WARP
from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.launch import Launch

__all__ = ["EACH", "ThreadTile", "steps_of", "thread_tile", "warps_of"]

EACH = 4  # channels of a thread, values of a step
_LANES = 4  # pixels of a warp beside each other


@dataclass(frozen=True, eq=False)
class ThreadTile:
    """Of one thread: ``group``, its four channels of the block; ``numbers`` of its pixels, which may lie behind the last, their
    ``places``, which do not, and ``inputs``, steps of four values from the start of x to the first of each."""

    spec: ConvSpec
    runs: Runs
    group: Any
    numbers: list[Any]
    places: list[Pixel]
    inputs: list[Any]

    def column(self, k: GpuFrame) -> Any:
        """The thread's four channels, counted in fours from the first of the layer."""
        return TB.Bind(k.block[1] * (self.spec.nr // EACH) + self.group)

    @contextmanager
    def each_step(self, k: GpuFrame) -> Iterator[tuple[Any, Any]]:
        """(what is added to ``inputs``, the weights of the step for the thread's channels, in fours of channels)."""
        spec, runs, chunks = self.spec, self.runs, self.runs.steps(self.spec.k_group)
        line = spec.src.stride // EACH
        with TB.serial(runs.rows) as ky, TB.serial(runs.columns) as kx, TB.serial(chunks) as chunk:
            offset = TB.Bind((ky * (spec.dilation[0] * spec.src.wp) + kx * spec.dilation[1]) * line + chunk)
            step = k.block[1] * (runs.count * chunks) + (ky * runs.columns + kx) * chunks + chunk
            yield offset, step * (spec.nr // EACH) + self.group


def warps_of(spec: ConvSpec) -> Launch:
    return Launch((-(-spec.tiles // spec.m_tiles), spec.blocks, 1), WARP * spec.m_tiles)


def steps_of(spec: ConvSpec) -> int:
    """Of all blocks of channels."""
    runs = find_runs(spec, spec.k_group)
    return spec.blocks * runs.count * runs.steps(spec.k_group)


def thread_tile(k: GpuFrame, spec: ConvSpec) -> ThreadTile:
    lane, warp = TB.Bind(k.thread & 31), TB.Bind(k.thread >> 5)
    first = TB.Bind((k.block[0] * spec.m_tiles + warp) * spec.mr + (lane >> 3))
    group = TB.Bind(lane & 7)
    numbers = [TB.Bind(first + i * _LANES) for i in range(spec.mr // _LANES)]
    places = [Pixel(spec, T.min(p, spec.dst.pixels - 1)) for p in numbers]
    inputs = [TB.Bind(place.input() * (spec.src.stride // EACH)) for place in places]
    return ThreadTile(spec, find_runs(spec, spec.k_group), group, numbers, places, inputs)
