"""Proofs for the NEON forms: what they allow is right, and one more is not."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.conv2d.blocks import block_starts
from lowbit.kernels.conv2d.selection.exactness import int16_depth, pairs_depth

LIMIT = 32767


@pytest.mark.parametrize(("steps", "depth", "starts"), [(20, 0, [0]), (20, 3, [0, 3, 6, 8, 11, 14, 16, 19]), (20, 16, [0, 16])])
def test_blocks(steps: int, depth: int, starts: list[int]) -> None:
    assert block_starts(steps, depth, 8) == starts


def constant(steps: int, value: int, group: int = 2) -> np.ndarray:
    return np.full((1, steps, 16, group), value)


@pytest.mark.parametrize(("value", "depth"), [(-128, 1), (127, 2), (86, 2), (85, 3), (64, 3), (63, 4), (8, 4), (7, 32), (3, 64)])
def test_depth_of_constant_weights(value: int, depth: int) -> None:
    assert int16_depth(constant(160, value), -128, 127, 160, 8) == depth
    if depth > 1:
        assert 128 * abs(value) * depth <= LIMIT


def test_the_whole_sum_where_it_fits() -> None:
    assert int16_depth(constant(160, 1), -128, 127, 160, 8) == 0
    assert int16_depth(constant(312, 7), 0, 15, 312, 8) == 0
    assert int16_depth(constant(313, 7), 0, 15, 313, 8) == 128


def test_every_partial_sum_of_random_weights_fits() -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-60, 61, (2, 48, 16, 2))
    depth = int16_depth(w, -128, 127, 24, 8)
    assert depth > 1
    starts = [run + start for run in (0, 24) for start in block_starts(24, depth, 8)]
    for first, end in zip(starts, [*starts[1:], 48], strict=True):
        part = w[:, first:end]
        worst = np.where(part > 0, 127 * part, -128 * part).cumsum(1)  # the input that makes each sum largest
        least = np.where(part > 0, -128 * part, 127 * part).cumsum(1)
        assert worst.max() <= LIMIT
        assert least.min() >= -LIMIT - 1


@pytest.mark.parametrize(("bits", "depth"), [(8, None), (7, 1), (6, 2), (5, 16), (4, 64)])
def test_pairs(bits: int, depth: int | None) -> None:
    """|x + v| <= 2^bits / 2 at both ends: depth products of 2^(2 bits - 2) each."""
    half = 2 ** (bits - 1)
    start = half if bits < 8 else 128
    w = constant(400, -half)
    if bits == 8:
        assert pairs_depth(w, -128, 127, 200, 4) is None
        return
    assert pairs_depth(w, -start, 2 * half - 1 - start, 200, 4) == depth
    assert depth * (2 * half) ** 2 <= LIMIT


def test_pairs_of_small_numbers_are_one_sum() -> None:
    assert pairs_depth(constant(400, 0), -2, 1, 200, 4) == 0
