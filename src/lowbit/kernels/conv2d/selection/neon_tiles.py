"""Register tiles of the NEON forms: which fit 32 registers, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload, tiling_of
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["NeonCost"]


_REGISTERS = 32
_ISSUE = {"cortex-a53": 1.25}  # instructions a cycle of a core that executes them in order, by llvm-mca's name
_ISSUE_OTHERS = 2.0
_FLUSH = 3.5  # instructions for each of a form's ``flush`` where the sums of a block wait on the stack
_FINISH = 50  # instructions from 16 accumulators to memory
_SETUP, _ADDRESS, _RUN = 40, 12, 8  # instructions a tile, a pixel with its own address, a run
_MAX_ADDRESSES = 12
_PANEL = 0.75  # of the level-1 cache; weights beyond that come from the level-2 cache


@dataclass(frozen=True)
class NeonCost:
    """Of one vector of ``channels`` output channels: ``kept`` accumulator registers, ``work`` instructions a step, of
    which the multiplier is busy ``busy`` cycles: of the Cortex-A72 as LLVM models it, or, with ``both_pipes``, of the A76,
    which has two such pipes.  ``spread``: instructions to bring a pixel's input into a step beside its load, which
    serves ``batch`` steps and sits in ``inputs`` registers.  ``temporaries``: further registers.  ``flush``: instructions
    a block."""

    channels: int
    work: float
    busy: float
    kept: int = 1
    spread: float = 0
    batch: int = 1
    inputs: int = 0
    temporaries: int = 1
    flush: float = 0
    both_pipes: bool = False
    winograd: WinogradCost | None = None

    def lanes(self, target: Target) -> int:
        return self.channels

    def held(self, depth: int) -> int:
        return self.kept

    def winograd_work(self, depth: int) -> float:
        assert self.winograd is not None
        return self.winograd.work

    def pace(self, k_group: int) -> float:
        return self.work / (k_group * self.channels)

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        dst, parts, depth, runs, steps = load.dst, load.parts, load.depth, load.runs, load.steps
        vectors = -(-(-(-dst.c // 16) * 16) // self.channels)
        blocks = runs * ceil(steps / runs / depth) if depth else 1
        short = 1 < depth < self.batch
        issue = _ISSUE.get(target.mca_cpu, _ISSUE_OTHERS)

        def registers(mr: int, nv: int) -> int:
            rows = form.rows * (depth if short else 1)  # weights of as many steps at once
            narrow = self.kept * parts + 1 if short else 0
            return mr * nv * self.kept * parts + mr * self.inputs + rows * nv * parts + narrow + self.temporaries

        def cycles(mr: int, nv: int, one_address: bool) -> float:
            cells = mr * nv * parts
            far = 3.0 if steps * nv * parts * 16 > target.l1_bytes * _PANEL else 1.0
            loads = mr / self.batch + nv * parts * form.rows * far
            step = cells * self.work + mr * self.spread + loads + 3 / self.batch
            busy = cells * self.busy / (2 if "dotprod" in target.features and not self.both_pipes else 1)
            flush = blocks * cells * self.flush
            within, apart = (flush, 0.0) if short else (0.0, flush * (_FLUSH if blocks > 1 else 1.0))
            setup = _SETUP + runs * _RUN + (0 if one_address else mr * _ADDRESS)
            finish = mr * nv * self.channels / 16 * _FINISH
            return max(steps * busy, (steps * step + within) / issue) + (apart + setup + finish) / issue

        found = []
        for nr, mr in product((16,) if load.window else (16, 32, 48, 64), range(1, 17)):
            nv = min(nr // self.channels, vectors)
            one_address = load.linear or dst.w % mr == 0
            fits = registers(mr, nv) <= _REGISTERS and (one_address or mr <= _MAX_ADDRESSES)
            if mr > dst.pixels or not (fits or (mr, nr) == (1, 16)):
                continue
            full, rest = divmod(vectors, nv)
            tile = full * cycles(mr, nv, one_address) + (cycles(mr, rest, one_address) if rest else 0)
            found.append(tiling_of(mr, nr, dst, -(-dst.pixels // mr) * tile))
        return found
