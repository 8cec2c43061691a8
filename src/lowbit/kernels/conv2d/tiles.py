"""Sizes of the register tile and of a unit of work: a small cost model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, gcd

from lowbit.kernels.conv2d.neon_tiles import neon_lanes, neon_tiles
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["Tiling", "choose_tiling", "fastest", "tilings", "unit_of"]


@dataclass(frozen=True)
class _Cost:
    """``cycles``: of one 64-byte vector's step.  Registers: ``held`` accumulators a vector of results
    (a form that spills some of them only between long blocks holds one), and ``temporaries`` beside
    accumulators, weights and the input.  ``rows``: as in Arithmetic."""

    cycles: float
    temporaries: int
    held: int = 1
    rows: int = 1


# measured on Zen 4, where a 64-byte instruction takes two 32-byte halves; see benchmarks/kernels.py
_COSTS = {
    "bit_popcount": _Cost(1.5, 1),
    "bit_shuffle": _Cost(4.0, 6),
    "bit_portable": _Cost(12.0, 8),
    "lut_shuffle_bits": _Cost(1.1, 2),
    "lut_permute": _Cost(1.05, 2, 3),
    "lut_shuffle": _Cost(1.1, 2),
    "u8_vnni_pairs": _Cost(1.5, 7, rows=2),
    "u8_vnni": _Cost(1.0, 0),
    "u8_maddubs": _Cost(2.0, 2),
    "u8_split": _Cost(2.0, 2),
    "i16_vnni_pairs": _Cost(1.5, 7, rows=2),
    "i16_maddwd_pairs": _Cost(2.0, 3, rows=2),
    "i16_vnni": _Cost(1.0, 0),
    "i16_maddwd": _Cost(1.5, 2),
    "u8_portable": _Cost(3.0, 2),
    "i16_portable": _Cost(3.0, 2),
    "f32": _Cost(1.0, 0),
}
_SHORT_BLOCKS = (2, 3, 4)  # maddubs depths at which int16 and int32 accumulators are both in registers
_WAYS, _WAY_BYTES = 8, 4096  # of a level-1 data cache
_LATENCY = 4.0  # cycles between dependent multiply-adds: fewer accumulators than that stall


@dataclass(frozen=True)
class Tiling:
    """mr, nr, m_tiles, n_blocks of ConvSpec and the model's cycles for the layer."""

    mr: int
    nr: int
    m_tiles: int
    n_blocks: int
    cycles: float


def choose_tiling(
    form: str,
    target: Target,
    dst: Layout,
    steps: float,
    runs: int,
    pitch: int,
    linear: bool,
    parts: int,
    depth: int,
    window: bool,
) -> Tiling:
    """The tile with the fewest estimated cycles of :func:`tilings`."""
    return fastest(tilings(form, target, dst, steps, runs, pitch, linear, parts, depth, window))


def fastest(found: list[Tiling]) -> Tiling:
    """The one with the fewest estimated cycles."""
    return min(found, key=lambda tiling: tiling.cycles)


def tilings(
    form: str,
    target: Target,
    dst: Layout,
    steps: float,
    runs: int,
    pitch: int,
    linear: bool,
    parts: int,
    depth: int,
    window: bool,
) -> list[Tiling]:
    """Every tile that fits the registers, for ``dst`` with ``steps`` K-steps in ``runs`` runs.

    ``pitch``: bytes between the inputs of neighbouring pixels.  ``linear``: all pixels are that far
    apart, so one address serves a tile.  ``window``: grouped convolution, whose K grows with nr: the
    smallest nr is taken.
    """
    if "neon" in target.features:
        found_sizes = neon_tiles(form, target, dst, steps, runs, linear, parts, depth, window)
        return [
            Tiling(mr, nr, *unit_of(-(-dst.pixels // mr), -(-dst.c // nr), _wanted(cost)), cost) for mr, nr, cost in found_sizes
        ]
    cost = _COSTS[form]
    lanes = form_lanes(form, target)
    lut = form.startswith("lut")
    half = lanes / (64 if lut else 16)  # of a 64-byte vector
    vectors = -(-(-(-dst.c // 16) * 16) // lanes)
    held = 2 if form == "u8_maddubs" and depth in _SHORT_BLOCKS else cost.held
    flushes = runs * ceil(steps / runs / depth) if lut and depth else 1
    work = cost.cycles if form != "u8_maddubs" or depth == 1 else 1.0 + 1.0 / (depth or 64)
    sets = _WAY_BYTES // gcd(pitch, _WAY_BYTES)

    beside = 0.45 if lut else 0.2  # how much of a load shows

    def tile_cycles(mr: int, nv: int, one_address: bool) -> float:
        far = 2.0 if not lut and steps * nv * parts * half * 64 > target.l1_bytes * 0.75 else 1.0
        loads = cost.rows * (mr * half * (1.5 if mr > (_WAYS - 1) * sets else 1.0) + nv * parts * half * far)
        step = max(mr * nv * work * parts * half + beside * loads, loads, _LATENCY)
        setup = 0 if one_address else mr * (8 + 2 * runs)
        flush = flushes * (6 + 2.5 * mr * nv * half) if lut else 0.0
        return steps * step + flush + 20 + mr * nv * 7 * lanes / 16 + setup

    addresses = _MAX_ADDRESSES // 3 if lut else _MAX_ADDRESSES  # look-ups keep table addresses in registers as well
    found: list[Tiling] = []
    sizes = (lanes, 2 * lanes, 4 * lanes) if lut else (16,) if window else (16, 32, 48, 64)
    if form == "u8_split" and dst.c % 16 == 0:
        sizes = (lanes,)  # a step is doubled when one of its channels needs it: fewer channels, fewer doubled steps
    for nr, mr in product(sizes, range(1, 17)):
        nv = min(nr // lanes, vectors)
        weights = nv * cost.rows if mr > 1 else 0  # used once, they are memory operands
        registers = mr * nv * held * parts + weights + 1 + cost.temporaries // held
        one_address = linear or dst.w % mr == 0
        smallest = (mr, nr) == (1, sizes[0])
        if mr > dst.pixels or (registers > target.registers and not smallest) or (not one_address and mr > addresses):
            continue
        tiles = -(-dst.pixels // mr)
        full, rest = divmod(vectors, nv)
        cycles = tiles * (full * tile_cycles(mr, nv, one_address) + (tile_cycles(mr, rest, one_address) if rest else 0))
        found.append(Tiling(mr, nr, *unit_of(tiles, -(-dst.c // nr), _wanted(cycles)), cycles))
    return found


def form_lanes(form: str, target: Target) -> int:
    """Output channels a vector of this form holds."""
    if "neon" in target.features:
        return neon_lanes(form)
    return target.vector_bytes // (1 if form.startswith("lut") else 4)


_MAX_ADDRESSES = 9  # pixels with an address register each
_UNITS = 16  # wanted: enough for 8 threads to balance
_UNIT_CYCLES = 50_000  # 20 us: below that, handing out work costs as much as the work


def _wanted(cycles: float) -> int:
    """About _UNITS units, none much shorter than _UNIT_CYCLES."""
    return max(1, min(_UNITS, int(cycles / _UNIT_CYCLES)))


def unit_of(tiles: int, blocks: int, wanted: int) -> tuple[int, int]:
    """(m_tiles, n_blocks) that make about ``wanted`` units."""
    if blocks >= wanted:
        return tiles, blocks // wanted
    per_block = -(-wanted // blocks)
    return max(1, tiles // per_block), 1
