"""Proofs, from the actual weights, that narrow accumulators hold.

Inputs are 0 <= x <= act_max (or |x| <= act_max).  A sum over a set of products, and every partial sum
of it, lies in [-act_max * sum|w-|, act_max * sum(w+)]; so bounding these two sums over the weights that
share an accumulator also bounds each intermediate result, whatever the input.

All functions take weights as (blocks, steps, nr, k_group) int32 or int64 (``weight_blocks``).
"""

from __future__ import annotations

import numpy as np

__all__ = ["DEPTHS", "int32_depth", "lut_depth", "maddubs_depth", "split_steps"]

_POWERS = (2, 4, 8, 16, 32)
DEPTHS = (1, 3, *_POWERS)  # steps sharing an int16 lane; beyond 32 widening costs nothing
_INT16 = 32767
_INT32 = 2**31 - 1


def _lanes(w_blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sum(w+) and sum|w-| of the weight pairs of each int16 lane: (blocks, steps, nr * 2)."""
    blocks, steps, nr, k_group = w_blocks.shape
    pairs = w_blocks.reshape(blocks, steps, nr * k_group // 2, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    return np.maximum(first, 0) + np.maximum(second, 0), np.maximum(-first, 0) + np.maximum(-second, 0)


def _grouped(values: np.ndarray, run_steps: int, depth: int) -> np.ndarray:
    """Sums over groups of ``depth`` steps, each run of ``run_steps`` starting a new group."""
    blocks, steps = values.shape[:2]
    runs = values.reshape(blocks, steps // run_steps, run_steps, *values.shape[2:])
    return np.add.reduceat(runs, np.arange(0, run_steps, depth), axis=2)


def maddubs_depth(w_blocks: np.ndarray, act_max: int, run_steps: int | None = None) -> int | None:
    """How many vpmaddubsw may share an int16 accumulator: 0 = the whole K, a value of DEPTHS,
    or None where even one instruction could saturate.

    ``run_steps``: steps of one run (groups do not span runs); default: all steps are one run.
    """
    positive, negative = _lanes(np.asarray(w_blocks))
    run_steps = run_steps or positive.shape[1]

    def fits(plus: np.ndarray, minus: np.ndarray) -> bool:
        return act_max * int(plus.max(initial=0)) <= _INT16 and act_max * int(minus.max(initial=0)) <= _INT16 + 1

    def safe(depth: int) -> bool:
        return fits(_grouped(positive, run_steps, depth), _grouped(negative, run_steps, depth))

    if not fits(positive, negative):
        return None
    if fits(positive.sum(1), negative.sum(1)):
        return 0
    depth = 1
    for deeper in _POWERS:  # a group of 2d steps is made of two groups of d: once unsafe, always unsafe
        if not safe(deeper):
            break
        depth = deeper
    return 3 if depth < 3 and safe(3) else depth


def split_steps(w_blocks: np.ndarray, act_max: int) -> tuple[np.ndarray, np.ndarray]:
    """(entries, entry_starts) of ``Packing``: each step of each block once (mode 0), or twice (modes
    1, 2: w // 2 and the rest) where a lane of it could leave int16.  Halves of int8 always fit:
    255 * 2 * 64 = 32640."""
    positive, negative = _lanes(np.asarray(w_blocks))
    unsafe = (act_max * positive > _INT16).any(-1) | (act_max * negative > _INT16 + 1).any(-1)
    starts = np.concatenate([[0], np.cumsum((1 + unsafe).sum(1))]).astype(np.int32)
    step = np.broadcast_to(np.arange(unsafe.shape[1]), unsafe.shape)
    twice = np.stack([step * 4 + unsafe, np.where(unsafe, step * 4 + 2, -1)], axis=-1).reshape(-1)
    return twice[twice >= 0].astype(np.int32), starts


def lut_depth(w_blocks: np.ndarray, act_max: int, run_steps: int) -> tuple[int, int] | None:
    """(depth, start) of the look-up forms: steps whose sums share an unsigned byte that starts from
    ``start`` (depth 0 = the whole K), or None where a total could leave int16 (or one step a byte).

    start + every partial sum lies in 0 .. 255 when the least sum is >= -start and the greatest
    <= 255 - start.  ``start`` is a multiple of 16 where there is room, so that layers share kernels.
    """
    w = np.asarray(w_blocks)
    positive = act_max * np.maximum(w, 0).sum(-1, dtype=np.int32)
    negative = act_max * np.maximum(-w, 0).sum(-1, dtype=np.int32)
    if positive.sum(1).max(initial=0) > _INT16 or negative.sum(1).max(initial=0) > _INT16 + 1:
        return None
    for depth in (0, *(d for d in (run_steps, *_BYTE_DEPTHS) if d <= run_steps)):
        size = depth or w.shape[1]
        span = run_steps if depth else w.shape[1]
        high, low = (int(_grouped(sums, span, size).max(initial=0)) for sums in (positive, negative))
        if high + low <= 255:
            return depth, min(-(-low // 16) * 16, 255 - high)
    return None


_BYTE_DEPTHS = (64, 48, 32, 24, 20, 16, 14, 12, 10, 9)  # 9 steps of 3 products -6 .. 3, or 14 of 2, always fit a byte


def int32_depth(w_blocks: np.ndarray, act_max: int, run_steps: int | None = None) -> int | None:
    """Steps whose products may share an int32 accumulator: 0 = the whole K, else a power of two (at
    most the steps of a run), or None where one step could overflow.  Inputs may be negative."""
    size = np.abs(np.asarray(w_blocks)).sum(-1, dtype=np.int64)
    run_steps = run_steps or size.shape[1]
    if act_max * size.sum(1).max(initial=0) <= _INT32:
        return 0
    depth = 1 << (run_steps - 1).bit_length()
    while depth:
        if act_max * _grouped(size, run_steps, depth).max(initial=0) <= _INT32:
            return min(depth, run_steps)
        depth //= 2
    return None
