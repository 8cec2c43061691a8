"""Register tiles of x86 vectors: which fit the registers, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, gcd
from typing import TYPE_CHECKING, ClassVar

from lowbit.kernels.conv2d.selection.cost import Tiling, WinogradCost, Workload, tiling_of
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["ByteSumCost", "VectorCost"]

_WAYS, _WAY_BYTES = 8, 4096  # of a level-1 data cache
_LATENCY = 4.0  # cycles between dependent multiply-adds: fewer accumulators than that stall
_PANEL = 0.75  # of the level-1 cache; weights beyond that come from the level-2 cache


@dataclass(frozen=True)
class VectorCost:
    """``cycles``: of one 64-byte vector's step, measured on Zen 4, where it takes two 32-byte halves (see
    benchmarks/kernels.py).  Registers: ``kept`` accumulators a vector of results (a form that spills some of them only
    between long blocks keeps one), and ``temporaries`` beside accumulators, weights and the input."""

    cycles: float
    temporaries: int
    kept: int = 1
    winograd: WinogradCost | None = None

    channel_bytes: ClassVar[int] = 4  # of a vector, that an output channel takes
    beside: ClassVar[float] = 0.2  # how much of a load shows
    addresses: ClassVar[int] = 9  # pixels with an address register each

    def lanes(self, target: Target) -> int:
        return target.vector_bytes // self.channel_bytes

    def held(self, depth: int) -> int:
        return self.kept

    def work(self, depth: int) -> float:
        """``cycles`` where products share narrow accumulators for ``depth`` steps."""
        return self.cycles

    def winograd_work(self, depth: int) -> float:
        assert self.winograd is not None
        return self.winograd.work

    def pace(self, k_group: int) -> float:
        return self.cycles / (k_group * 64 // self.channel_bytes)

    def panels(self, load: Workload, lanes: int) -> tuple[int, ...]:
        """The numbers of channels a tile may have."""
        return (16,) if load.window else (16, 32, 48, 64)

    def far(self, panel_bytes: float, target: Target) -> float:
        """How often a load of weights counts, whose panel has so many bytes."""
        return 2.0 if panel_bytes > target.l1_bytes * _PANEL else 1.0

    def flush(self, load: Workload, vectors: float) -> float:
        """Cycles to widen the sums of a tile of so many 64-byte vectors."""
        return 0.0

    def tilings(self, form: Form, load: Workload, target: Target) -> list[Tiling]:
        """``form.rows``: rows of a panel that a step takes, each a vector of weights."""
        dst, parts, rows = load.dst, load.parts, form.rows
        lanes = self.lanes(target)
        half = lanes * self.channel_bytes / 64  # of a 64-byte vector
        vectors = -(-(-(-dst.c // 16) * 16) // lanes)
        held, work = self.held(load.depth), self.work(load.depth)
        sets = _WAY_BYTES // gcd(load.pitch, _WAY_BYTES)

        def tile_cycles(mr: int, nv: int, one_address: bool) -> float:
            far = self.far(load.steps * nv * parts * half * 64, target)
            loads = rows * (mr * half * (1.5 if mr > (_WAYS - 1) * sets else 1.0) + nv * parts * half * far)
            step = max(mr * nv * work * parts * half + self.beside * loads, loads, _LATENCY)
            setup = 0 if one_address else mr * (8 + 2 * load.runs)
            return load.steps * step + self.flush(load, mr * nv * half) + 20 + mr * nv * 7 * lanes / 16 + setup

        found: list[Tiling] = []
        sizes = self.panels(load, lanes)
        for nr, mr in product(sizes, range(1, 17)):
            nv = min(nr // lanes, vectors)
            weights = nv * rows if mr > 1 else 0  # used once, they are memory operands
            registers = mr * nv * held * parts + weights + 1 + self.temporaries // held
            one_address = load.linear or dst.w % mr == 0
            smallest = (mr, nr) == (1, sizes[0])
            crowded = (registers > target.registers and not smallest) or (not one_address and mr > self.addresses)
            if mr > dst.pixels or crowded:
                continue
            full, rest = divmod(vectors, nv)
            cycles = full * tile_cycles(mr, nv, one_address) + (tile_cycles(mr, rest, one_address) if rest else 0)
            found.append(tiling_of(mr, nr, dst, -(-dst.pixels // mr) * cycles))
        return found


class ByteSumCost(VectorCost):
    """Of forms that sum in bytes and read a table for each input, whose address is in a register as well."""

    channel_bytes = 1
    beside = 0.45
    addresses = 3

    def panels(self, load: Workload, lanes: int) -> tuple[int, ...]:
        return lanes, 2 * lanes, 4 * lanes

    def far(self, panel_bytes: float, target: Target) -> float:
        return 1.0

    def flush(self, load: Workload, vectors: float) -> float:
        flushes = load.runs * ceil(load.steps / load.runs / load.depth) if load.depth else 1
        return flushes * (6 + 2.5 * vectors)
