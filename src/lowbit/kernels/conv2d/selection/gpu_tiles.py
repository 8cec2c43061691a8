"""What plain forms cost on GPUs, where a thread computes a tile by itself: an estimate, fitted to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["PROCESSORS", "RESULTS", "DotTileCost", "FloatTileCost", "ThreadCost"]

PROCESSORS = {"sm_75": 40, "sm_80": 108, "sm_90": 132}  # T4, A100, H100
RESULTS = 12.8  # written in a cycle of a multiprocessor

_THREADS = 1 << 14  # that run at a time
_PIXELS = (1, 2, 4)
_LATENCY = 8.0  # cycles of a step whose loads wait for memory, few threads or many
_CHANNELS = 16
_PROCESSORS = 128
_ISSUED = 128.0  # multiply-adds of a multiprocessor, a cycle
_PRODUCTS, _LOADED = 256.0, 64.0  # of dp4a, and bytes to registers, of a multiprocessor, a cycle
_WAIT = 400.0  # cycles of a step of four values whose loads wait for the caches
_BESIDE = 4  # blocks of a multiprocessor beside each other
_BLOCK = 1500.0  # before the first step and after the last one, as in tensor_tiles.py


@dataclass(frozen=True)
class ThreadCost:
    """``cycles``: of a product and its addition in one lane."""

    cycles: float
    winograd: WinogradCost | None = None

    def lanes(self, target: Target) -> int:
        return target.vector_bytes // 4

    def held(self, depth: int) -> int:
        return 1

    def winograd_work(self, depth: int) -> float:
        raise NotImplementedError("no Winograd kernels for GPUs")

    def pace(self, k_group: int) -> float:
        return self.cycles / k_group

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        """Sixteen channels of a few pixels; more of them where there are threads enough."""
        blocks = -(-load.dst.c // _CHANNELS)
        found = []
        for mr in _PIXELS:
            if mr <= load.dst.pixels:
                waves = -(-(-(-load.dst.pixels // mr) * blocks) // _THREADS)
                step = mr * _CHANNELS * self.cycles * load.parts + _LATENCY + mr + _CHANNELS
                found.append(Tiling(mr, _CHANNELS, 1, 1, waves * load.steps * step + _BLOCK))
        return found


def _warps(load: Workload, processors: int) -> Iterator[tuple[int, int, int]]:
    """(mr, m_tiles, own): a warp has mr pixels x 32 channels, a block m_tiles warps, the busiest multiprocessor own blocks."""
    for mr in (4, 8, 16, 32):
        if mr == 4 or mr < 2 * load.dst.pixels:
            tiles = -(-load.dst.pixels // mr)
            m_tiles = min(4, tiles)
            yield mr, m_tiles, -(-(-(-tiles // m_tiles) * -(-load.dst.c // 32)) // processors)


@dataclass(frozen=True)
class FloatTileCost(ThreadCost):
    """Of float32 in tiles of threads, ``mr`` pixels x 32 channels a warp, four warps a block."""

    cycles: float = 0.5

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        found = []
        for mr, m_tiles, own in _warps(load, _PROCESSORS):
            work = load.steps * max(m_tiles * mr * 32 * form.k_group / _ISSUED, 1.0)
            found.append(Tiling(mr, 32, m_tiles, 1, max(own * work, -(-own // _BESIDE) * load.steps * _WAIT / 4) + _BLOCK))
        return found


@dataclass(frozen=True)
class DotTileCost(ThreadCost):
    """Of dp4a in the same tiles of threads: 64 a cycle in a multiprocessor from Turing to Hopper (CUDA C++ Programming Guide,
    arithmetic instructions), operands through the level-1 cache beside them, and results as tensor_tiles.py has them."""

    cycles: float = 0.5

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        found = []
        for mr, m_tiles, own in _warps(load, PROCESSORS[target.arch]):
            step = m_tiles * (mr * 32 * form.k_group / _PRODUCTS + (mr + 32) * form.k_group / _LOADED)
            results = m_tiles * mr * 32 / RESULTS
            cycles = max(own * (load.steps * step + results), -(-own // _BESIDE) * (load.steps * _WAIT / 4 + results))
            found.append(Tiling(mr, 32, m_tiles, 1, cycles + _BLOCK))
        return found
