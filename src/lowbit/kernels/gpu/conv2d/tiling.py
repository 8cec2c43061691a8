"""Numbers that follow from the tile of a ConvSpec for tensor cores: threads, steps at a time, shares of K, stages."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.geometry import ConvGeometry
from lowbit.kernels.gpu.conv2d.atom import Atom

__all__ = [
    "SHARED_BYTES",
    "WARP",
    "batch_for",
    "depth_of",
    "places_of",
    "runs_of",
    "shares_of",
    "stage_bytes",
    "stages_for",
    "steps_of",
    "threads_of",
]

WARP = 32
SHARED_BYTES = 48 << 10  # that a kernel may declare
_BATCH_REGISTERS = 64  # for operands under way
_MOST_STAGES = 4


def runs_of(at: ConvGeometry, k_group: int, window: int = 0) -> Runs:
    """As ``find_runs``; but a kernel row of pixels with few channels is one run with its padding channels, whose weights are 0,
    where it fits a step: images of 3 channels in 4 bytes a pixel."""
    src, (kh, kw) = at.src, at.kernel
    if (
        src.dtype in ("u8", "i16", "f16")
        and not window
        and at.dilation[1] == 1
        and src.c < src.stride
        and kw * src.stride <= k_group
    ):
        return Runs(kh, 1, kw * src.stride, k_group)
    return find_runs(at, k_group, window)


def places_of(at: ConvGeometry, k_group: int) -> np.ndarray | None:
    """Where the weights of a run with padding channels lie in a step without them, for :func:`fragment_order`; None: where they
    are."""
    src, kw = at.src, at.kernel[1]
    if src.c == src.stride or runs_of(at, k_group).length != kw * src.stride:
        return None
    held = np.arange(k_group).reshape(-1)
    tap, channel = held // src.stride, held % src.stride
    real = (tap < kw) & (channel < src.c)
    places = np.empty(k_group, np.int64)
    places[real] = (tap * src.c + channel)[real]
    places[~real] = np.arange(kw * src.c, k_group)  # zeros, each taken once
    return places


def steps_of(spec: ConvSpec) -> int:
    return (runs := runs_of(spec, spec.k_group, spec.window)).count * runs.steps(spec.k_group)


def shares_of(spec: ConvSpec) -> int:
    """Warps that share a tile, each with ``spec.depth`` of its steps (0: all)."""
    return -(-steps_of(spec) // spec.depth) if spec.depth else 1


def threads_of(spec: ConvSpec) -> int:
    return WARP * spec.m_tiles * spec.n_blocks * shares_of(spec)


def batch_for(mr: int, nr: int, k: int, atom: Atom) -> int:
    """Steps whose operands are loaded at once."""
    step = mr // 8 * atom.x_words(k) + nr // 8 * atom.w_words(k)
    return next(size for size in (4, 2, 1) if size * step <= _BATCH_REGISTERS or size == 1)


def stage_bytes(mr: int, nr: int, m_tiles: int, n_blocks: int, k: int, atom: Atom) -> int:
    """Of shared memory for the operands of a step."""
    return k * (mr * m_tiles * atom.x_bits + nr * n_blocks * atom.w_bits) // 8


def stages_for(bytes_: int) -> int:
    """Steps whose operands, ``bytes_`` each, shared memory holds, at most ``_MOST_STAGES``."""
    return min(_MOST_STAGES, SHARED_BYTES // bytes_)


_WARPS = 1024  # that keep a large GPU busy: eight for each of its multiprocessors
_BLOCK_WARPS = 8
_FEWEST_STEPS = 2  # of a share


def depth_of(steps: int, units: int, tiles: int, tile: int) -> int:
    """``ConvSpec.depth`` of a layer of ``units`` blocks of ``tiles`` warps with ``tile`` sums each: where these are too few, 2, 4
    or 8 warps share the steps of a tile."""
    shares = 1
    while (
        2 * shares * tiles <= _BLOCK_WARPS
        and 2 * shares * tiles * units <= _WARPS
        and steps >= 2 * shares * _FEWEST_STEPS
        and 4 * (2 * shares - 1) * tiles * tile <= SHARED_BYTES
    ):
        shares *= 2
    return -(-steps // shares) if shares > 1 else 0
