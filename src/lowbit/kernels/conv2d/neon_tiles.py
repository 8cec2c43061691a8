"""Register tiles of the NEON forms: which fit 32 registers, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["neon_lanes", "neon_tiles"]


@dataclass(frozen=True)
class _Cost:
    """Of one vector of ``lanes`` output channels: ``held`` accumulator registers, ``work`` instructions a step,
    of which the multiplier is busy ``busy`` cycles.  ``spread``: instructions to bring a pixel's input into a
    step beside its load, which serves ``batch`` steps and sits in ``kept`` registers.  ``rows``: registers of weights
    a step.  ``temporaries``: further registers.  ``flush``: instructions a block."""

    lanes: int
    work: float
    busy: float
    held: int = 1
    spread: float = 0
    batch: int = 1
    kept: int = 0
    rows: int = 1
    temporaries: int = 1
    flush: float = 0


# busy: Cortex-A72 as LLVM models it; the A76 (sdot) has two such pipes
_COSTS = {
    "bit_cnt": _Cost(16, 3, 1.5, spread=1, batch=8, kept=1, temporaries=3, flush=2),
    "bit_portable": _Cost(4, 4, 2, temporaries=4),
    "lut_tbl": _Cost(16, 2, 2, spread=3, batch=4, temporaries=3, flush=2),
    "u8_sdot": _Cost(4, 1, 0.5, batch=4, kept=1),
    "u8_smull_pairs": _Cost(8, 4, 2, held=2, spread=3, batch=4, kept=2, rows=2, temporaries=4, flush=2),
    "u8_smull": _Cost(8, 2, 2, held=2, spread=1, batch=8, kept=1, temporaries=2, flush=2),
    "u8_portable": _Cost(4, 2, 2, temporaries=4),
    "i16_smlal": _Cost(8, 2, 2, held=2, batch=8, kept=1),
    "i16_portable": _Cost(4, 2, 2, temporaries=4),
    "f32": _Cost(4, 1, 1, batch=4, kept=1),
}
_REGISTERS = 32
_ISSUE = {"cortex-a53": 1.25}  # instructions a cycle of a core that executes them in order, by llvm-mca's name
_ISSUE_OTHERS = 2.0
_FLUSH = 3.5  # instructions for each of a form's ``flush`` where the sums of a block wait on the stack
_FINISH = 50  # instructions from 16 accumulators to memory
_SETUP, _ADDRESS, _RUN = 40, 12, 8  # instructions a tile, a pixel with its own address, a run
_MAX_ADDRESSES = 12
_PANEL = 0.75  # of the level-1 cache; weights beyond that come from the level-2 cache


def neon_lanes(form: str) -> int:
    """Output channels a vector of this form holds."""
    return _COSTS[form].lanes


def neon_tiles(
    form: str, target: Target, dst: Layout, steps: float, runs: int, linear: bool, parts: int, depth: int, window: bool
) -> Iterator[tuple[int, int, float]]:
    """(mr, nr, estimated cycles) of every tile; the arguments are those of ``tiles.tilings``."""
    cost = _COSTS[form]
    vectors = -(-(-(-dst.c // 16) * 16) // cost.lanes)
    blocks = runs * ceil(steps / runs / depth) if depth else 1
    short = 1 < depth < cost.batch
    issue = _ISSUE.get(target.mca_cpu, _ISSUE_OTHERS)

    def registers(mr: int, nv: int) -> int:
        rows = cost.rows * (depth if short else 1)  # weights of as many steps at once
        narrow = cost.held * parts + 1 if short else 0
        return mr * nv * cost.held * parts + mr * cost.kept + rows * nv * parts + narrow + cost.temporaries

    def cycles(mr: int, nv: int, one_address: bool) -> float:
        cells = mr * nv * parts
        far = 3.0 if steps * nv * parts * 16 > target.l1_bytes * _PANEL else 1.0
        loads = mr / cost.batch + nv * parts * cost.rows * far
        step = cells * cost.work + mr * cost.spread + loads + 3 / cost.batch
        busy = cells * cost.busy / (2 if "dotprod" in target.features and form != "u8_sdot" else 1)
        flush = blocks * cells * cost.flush
        within, apart = (flush, 0.0) if short else (0.0, flush * (_FLUSH if blocks > 1 else 1.0))
        setup = _SETUP + runs * _RUN + (0 if one_address else mr * _ADDRESS)
        finish = mr * nv * cost.lanes / 16 * _FINISH
        return max(steps * busy, (steps * step + within) / issue) + (apart + setup + finish) / issue

    for nr, mr in product((16,) if window else (16, 32, 48, 64), range(1, 17)):
        nv = min(nr // cost.lanes, vectors)
        one_address = linear or dst.w % mr == 0
        fits = registers(mr, nv) <= _REGISTERS and (one_address or mr <= _MAX_ADDRESSES)
        if mr > dst.pixels or not (fits or (mr, nr) == (1, 16)):
            continue
        full, rest = divmod(vectors, nv)
        tile = full * cycles(mr, nv, one_address) + (cycles(mr, rest, one_address) if rest else 0)
        yield mr, nr, -(-dst.pixels // mr) * tile
