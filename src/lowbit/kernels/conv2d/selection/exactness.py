"""Proofs, from the actual weights, that narrow accumulators hold.

Inputs are 0 <= x <= act_max (or |x| <= act_max).  A sum over a set of products, and every partial sum
of it, lies in [-act_max * sum|w-|, act_max * sum(w+)]; so bounding these two sums over the weights that
share an accumulator also bounds each intermediate result, whatever the input.

All functions take weights as (blocks, steps, nr, k_group) int32 or int64 (``weight_blocks``).
"""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.blocks import block_starts

__all__ = ["int16_depth", "int32_depth", "lut_depth", "maddubs_depth", "pairs_depth", "split_steps"]

_POWERS = (2, 4, 8, 16, 32)  # steps sharing an int16 lane; beyond 32 widening costs nothing
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
    """How many vpmaddubsw may share an int16 accumulator: 0 = the whole K, 1, 3 or a power of two up to 32,
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


def int16_depth(w_blocks: np.ndarray, low: int, high: int, run_steps: int, batch: int) -> int:
    """How many steps may share int16 lanes that hold one product of each step, for inputs low <= x <= high with
    low <= 0 <= high: 0 = the whole K, else a depth whose blocks are those of ``batches.block_starts``.

    One product of int8 numbers always fits.  More do where high * sum(w+) + |low| * sum|w-| <= 32767 and the
    same with the signs exchanged: the sum and every partial one is between the two.
    """
    w = np.asarray(w_blocks, np.int64)
    w = w.reshape(w.shape[0], -1, run_steps, w.shape[2] * w.shape[3])
    positive, negative = np.maximum(w, 0), np.maximum(-w, 0)
    most, least = high * positive - low * negative, high * negative - low * positive

    def fits(depth: int) -> bool:
        starts = block_starts(run_steps, depth, batch)
        return all(int(np.add.reduceat(kind, starts, axis=2).max(initial=0)) <= _INT16 for kind in (most, least))

    if all(int(kind.sum((1, 2)).max(initial=0)) <= _INT16 for kind in (most, least)):
        return 0
    return next(depth for depth in _SMULL_DEPTHS if depth == 1 or fits(depth))


def pairs_depth(w_blocks: np.ndarray, low: int, high: int, run_steps: int, batch: int) -> int | None:
    """As ``int16_depth``, for pairs of signed bytes: a lane of a step holds (x + v) * (y + u), u and v the weights of two
    neighbouring rows of the panel, low <= x, y <= high.  None where such a sum could leave a byte."""
    w = np.asarray(w_blocks, np.int64)
    if low + w.min(initial=0) < -128 or high + w.max(initial=0) > 127:
        return None
    size = np.maximum(np.abs(low + w), np.abs(high + w)).reshape(w.shape[0], -1, run_steps, 2, w.shape[2] * w.shape[3])
    products = size[:, :, :, 0] * size[:, :, :, 1]

    def fits(depth: int) -> bool:
        return int(np.add.reduceat(products, block_starts(run_steps, depth, batch), axis=2).max(initial=0)) <= _INT16

    if int(products.sum((1, 2)).max(initial=0)) <= _INT16:
        return 0
    return next(depth for depth in _PAIRS_DEPTHS if depth == 1 or fits(depth))


# blocks within a batch keep everything in registers; those a little longer cost more than they save
_SMULL_DEPTHS = (128, 64, 32, 4, 3, 2, 1)
_PAIRS_DEPTHS = (128, 64, 32, 16, 8, 2, 1)


def split_steps(w_blocks: np.ndarray, act_max: int) -> np.ndarray:
    """``Packing.split``: whether a lane of a step could leave int16, (blocks, steps).  Halves of int8
    always fit: 255 * 2 * 64 = 32640."""
    positive, negative = _lanes(np.asarray(w_blocks))
    return np.asarray((act_max * positive > _INT16).any(-1) | (act_max * negative > _INT16 + 1).any(-1))


def lut_depth(w_blocks: np.ndarray, act_max: int, run_steps: int) -> tuple[int, int] | None:
    """(depth, start) of the look-up forms: steps whose sums share an unsigned byte that starts from
    ``start`` (depth 0 = the whole K), or None where a total could leave int16 or one step a byte.

    start + every partial sum lies in 0 .. 255 when the least sum is >= -start and the greatest
    <= 255 - start.  Both numbers are round where there is room, so that layers share kernels.
    """
    w = np.asarray(w_blocks)
    fields = range(w.shape[3])
    blocks, steps, nr, _ = w.shape
    sums = np.zeros((2, blocks, steps // run_steps, run_steps + 1, nr), np.int32)
    for sign, out in zip((1, -1), sums, strict=True):
        of_step = sum(np.maximum(sign * w[..., j], 0) for j in fields)
        np.cumsum(act_max * np.reshape(of_step, (blocks, -1, run_steps, nr)), axis=2, out=out[:, :, 1:])
    totals = sums[:, :, :, -1].sum(2)
    high, low = (int(total.max(initial=0)) for total in totals)
    if high > _INT16 or low > _INT16 + 1:
        return None
    if high + low <= 255:
        return 0, _round_start(low, high)
    for most in (run_steps, *(d for d in _BYTE_DEPTHS if d < run_steps)):
        depth = -(-run_steps // -(-run_steps // most))  # blocks of equal length
        bounds = [*range(0, run_steps, depth), run_steps]
        high, low = (int(np.diff(kind[:, :, bounds], axis=2).max(initial=0)) for kind in sums)
        if high + low <= 255:
            return depth, _round_start(low, high)
    return None


def _round_start(low: int, high: int) -> int:
    """The roundest number from ``low`` to 255 - ``high``."""
    starts = (-(-low // unit) * unit for unit in (64, 32, 16, 8, 4, 2, 1))
    return next(start for start in starts if start + high <= 255)


_BYTE_DEPTHS = (48, 24, 16, 12, 9)  # 9 steps of three products -6 .. 3 always fit a byte


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
