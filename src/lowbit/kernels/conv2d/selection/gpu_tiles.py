"""What plain forms cost on GPUs, where a thread computes a tile by itself: an estimate, fitted to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["DotTileCost", "FloatTileCost", "ThreadCost"]

_THREADS = 1 << 14  # that run at a time
_PIXELS = (1, 2, 4)
_LATENCY = 8.0  # cycles of a step whose loads wait for memory, few threads or many
_CHANNELS = 16
_PROCESSORS = 128
_ISSUED = 128.0  # multiply-adds of a multiprocessor, a cycle
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


@dataclass(frozen=True)
class FloatTileCost(ThreadCost):
    """Of float32 in tiles of threads, ``mr`` pixels x 32 channels a warp, four warps a block."""

    cycles: float = 0.5

    issued: ClassVar[float] = _ISSUED  # products of a multiprocessor, a cycle

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        found = []
        for mr in (4, 8, 16, 32):
            if mr > 4 and mr >= 2 * load.dst.pixels:
                continue
            tiles = -(-load.dst.pixels // mr)
            m_tiles = min(4, tiles)
            own = -(-(-(-tiles // m_tiles) * -(-load.dst.c // 32)) // _PROCESSORS)
            work = load.steps * max(m_tiles * mr * 32 * form.k_group / self.issued, 1.0)
            found.append(Tiling(mr, 32, m_tiles, 1, max(own * work, -(-own // _BESIDE) * load.steps * _WAIT / 4) + _BLOCK))
        return found


@dataclass(frozen=True)
class DotTileCost(FloatTileCost):
    """Of dp4a, 64 a cycle in a multiprocessor from Turing to Hopper (CUDA C++ Programming Guide, arithmetic instructions)."""

    cycles: float = 0.5
    issued: ClassVar[float] = 256.0
