"""Sizes of the register tile and of a unit of work: a small cost model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from lowbit.kernels.forms import FORMS
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["Tiling", "choose_tiling"]


@dataclass(frozen=True)
class Cost:
    """Cycles of one vector's step, and registers beside accumulators, weights and the input.

    ``held``: accumulators a vector of results keeps in registers."""

    cycles: float
    temporaries: int
    held: int = 1


# per form: measured on Zen 4 (512-bit instructions issue once a cycle); see benchmarks/kernels.py
_COSTS = {
    "bit_popcount": Cost(1.5, 2),
    "bit_shuffle": Cost(4.0, 6),
    "bit_portable": Cost(12.0, 8),
    "u8_vnni": Cost(1.0, 0),
    "u8_maddubs": Cost(2.0, 2),
    "u8_split": Cost(2.0, 2),
    "i16_vnni": Cost(1.0, 0),
    "i16_maddwd": Cost(1.5, 1),
    "u8_portable": Cost(3.0, 2),
    "i16_portable": Cost(3.0, 2),
    "f32": Cost(1.0, 0),
}


@dataclass(frozen=True)
class Tiling:
    """mr, nr, m_tiles, n_blocks of ConvSpec and the model's cycles for the layer."""

    mr: int
    nr: int
    m_tiles: int
    n_blocks: int
    cycles: float


def choose_tiling(form: str, target: Target, dst: Layout, steps: int, linear: bool, parts: int = 1, window: bool = False) -> Tiling:
    """The tile with the fewest estimated cycles for ``dst`` with ``steps`` K-steps.

    ``linear``: the inputs of consecutive pixels are equally spaced, so one address serves a tile.
    ``window``: grouped convolution, whose K depends on nr; the smallest nr is taken.
    """
    cost = _COSTS[form]
    lanes = 16 if FORMS[form].features & {"avx512vnni", "avx512vpopcntdq"} else target.vector_bytes // 4
    vectors = -(-dst.c // 16) * 16 // lanes
    best = None
    widths = [nr for nr in (16, 32, 48, 64) if nr % lanes == 0 and (nr == 16 or nr // lanes <= 4)]
    if window:
        widths = [16]
    for nr, mr in product(widths, range(1, 17)):
        nv = min(nr // lanes, vectors)
        registers = mr * nv * cost.held * parts + (nv if target.vector_bytes == 64 else 0) + 1 + cost.temporaries
        aligned = linear or dst.w % mr == 0
        if mr > dst.pixels or (mr > 1 and registers > target.registers) or (not aligned and mr > 9):
            continue
        tiles = -(-dst.pixels // mr)
        per_step = max(mr * nv * cost.cycles * parts, (mr + nv * parts) * 1.0, 4.0)
        full, rest = divmod(vectors, nv)
        cycles = tiles * full * (steps * per_step + 20 + mr * (nv * 7 + (0 if aligned else 8)))
        if rest:
            per_step = max(mr * rest * cost.cycles * parts, (mr + rest * parts) * 1.0, 4.0)
            cycles += tiles * (steps * per_step + 20 + mr * (rest * 7 + (0 if aligned else 8)))
        if best is None or cycles < best.cycles:
            best = Tiling(mr, nr, *_unit(tiles, -(-dst.c // nr), cycles), cycles)
    return best


_UNITS = 16  # wanted: enough for 8 threads to balance
_UNIT_CYCLES = 50_000  # 20 us: below that, handing out work costs as much as the work


def _unit(tiles: int, blocks: int, cycles: float) -> tuple[int, int]:
    """(m_tiles, n_blocks): about _UNITS units, none much shorter than _UNIT_CYCLES."""
    wanted = max(1, min(_UNITS, int(cycles / _UNIT_CYCLES)))
    if blocks >= wanted:
        return tiles, blocks // wanted
    per_block = -(-wanted // blocks)
    return max(1, tiles // per_block), 1
