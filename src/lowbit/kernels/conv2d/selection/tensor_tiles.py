"""What forms of tensor cores cost: a model of a GPU, fitted to nothing (docs/gpu.md says where its numbers come from).

A layer is ``units`` blocks of threads, dealt out to the multiprocessors.  A block's step costs its multiplications, and the
bytes that it fetches from the level-2 cache or those that its warps load, whichever takes longer; and a block takes at least
the time in which its steps follow each other, each waiting for memory, while as many blocks as registers allow wait beside
each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Any

from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload
from lowbit.kernels.conv2d.selection.gpu_tiles import PROCESSORS, RESULTS
from lowbit.kernels.gpu.conv2d.tiling import SHARED_BYTES, WARP, batch_for, depth_of, stage_bytes, stages_for
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["MOST_SUMS", "TensorCost"]

_REGISTERS = 65536  # of a multiprocessor
_MOST_WARPS = 48
_OTHER_REGISTERS = 40  # of a thread, beside sums and operands
MOST_SUMS = 128  # of a thread
_CACHE_BYTES = 24.0  # from the level-2 cache to a multiprocessor, a cycle
_LOADED_BYTES = 64.0, 128.0  # to the registers of its warps: through the level-1 cache, from shared memory
_WAIT = 700.0  # cycles until what is asked for is there
_STEP = 120.0  # of a step whose operands are in shared memory
_BLOCK = 1500.0  # before the first step and after the last one
_TILES = (1, 2, 4, 8)  # of 8 pixels
_CHANNELS = (16, 32, 64)
_UNITS = ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (1, 4))
_STAGED_UNITS = ((2, 2), (4, 1), (4, 2), (2, 4))


@dataclass(frozen=True)
class TensorCost:
    """``cycles``: of one instruction, of ``products`` products, in a multiprocessor whose tensor cores are all busy."""

    cycles: float
    products: int
    winograd: WinogradCost | None = None

    def lanes(self, target: Target) -> int:
        return 8

    def held(self, depth: int) -> int:
        return 1

    def winograd_work(self, depth: int) -> float:
        raise NotImplementedError("no Winograd kernels for GPUs")

    def pace(self, k_group: int) -> float:
        return self.cycles / self.products

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        made: Any = form
        return [
            Tiling(mr, nr, m_tiles, n_blocks, self._cycles(made, load, PROCESSORS[target.arch], mr, nr, m_tiles, n_blocks))
            for mr, nr, m_tiles, n_blocks in _sizes(made, load)
        ]

    def _cycles(self, form: Any, layer: Workload, processors: int, mr: int, nr: int, m_tiles: int, n_blocks: int) -> float:
        atom, k, steps, warps = form.atom, form.k_group, int(layer.steps), m_tiles * n_blocks
        units = -(-layer.dst.pixels // (mr * m_tiles)) * -(-layer.dst.c // (nr * n_blocks))
        depth = 0 if form.staged else depth_of(steps, units, warps, atom.tile_sums(mr, nr))
        shares = ceil(steps / depth) if depth else 1
        own = -(-units // processors)  # blocks of the busiest multiprocessor
        fetched, operands = stage_bytes(mr, nr, m_tiles, n_blocks, k, atom), stage_bytes(mr, nr, 1, 1, k, atom)
        multiply = warps * mr * nr * k / self.products * self.cycles
        load = max(fetched / _CACHE_BYTES, warps * operands / _LOADED_BYTES[form.staged])
        step = max(multiply, load) if form.staged else multiply + load  # copied meanwhile, or by the same warps before
        batch = batch_for(mr, nr, k, atom)
        wait = max(_STEP, _WAIT / (stages_for(fetched) - 1)) if form.staged else _WAIT / batch
        registers = (atom.tile_sums(mr, nr) + batch * operands // 4) // WARP + _OTHER_REGISTERS
        beside = max(1, min(_MOST_WARPS, _REGISTERS // (registers * WARP)) // (warps * shares))
        results = warps * mr * nr / RESULTS
        return max(own * (steps * step + results), ceil(own / beside) * (ceil(steps / shares) * wait + results)) + _BLOCK


def _sizes(form: Any, load: Workload) -> Iterator[tuple[int, int, int, int]]:
    """(mr, nr, m_tiles, n_blocks): the smallest, and those that fit registers, shared memory and the layer."""
    atom, dst, units = form.atom, load.dst, _STAGED_UNITS if form.staged else _UNITS
    for tiles, nr, (m_tiles, n_blocks) in product(_TILES, _CHANNELS, units):
        mr = 8 * tiles
        if (mr, nr, m_tiles, n_blocks) == (8, 16, *units[0]):
            yield mr, nr, m_tiles, n_blocks
            continue
        pixels, blocks = -(-dst.pixels // mr), -(-dst.c // nr)
        wasteful = (tiles > 1 and mr >= 2 * dst.pixels) or (nr > 16 and nr >= 2 * dst.c) or m_tiles > pixels or n_blocks > blocks
        large = atom.tile_sums(mr, nr) > MOST_SUMS * WARP
        crowded = form.staged and 3 * stage_bytes(mr, nr, m_tiles, n_blocks, form.k_group, atom) > SHARED_BYTES
        if not (wasteful or large or crowded or (load.window and nr != 16)):
            yield mr, nr, m_tiles, n_blocks
