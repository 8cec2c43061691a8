"""The proofs of narrow accumulators, against brute force over the worst inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lowbit.kernels.conv2d.selection.exactness import int32_depth, lut_depth, maddubs_depth, split_steps

DEPTHS = (1, 2, 3, 4, 8, 16, 32)


def lane_extremes(w: np.ndarray, act_max: int, depth: int, run_steps: int) -> tuple[int, int]:
    """Smallest and largest value any int16 accumulator takes, step by step, on its worst inputs."""
    low = high = 0
    for block in w:
        for start in range(0, len(block), run_steps):
            run = block[start : start + run_steps]
            size = depth or len(run)
            for group in (run[i : i + size] for i in range(0, len(run), size)):
                for lane in group.transpose(1, 0, 2):
                    for pair in (lane[:, :2], lane[:, 2:]):
                        high = max(high, int(act_max * np.maximum(pair, 0).sum()))
                        low = min(low, int(act_max * np.minimum(pair, 0).sum()))
    return low, high


def blocks(steps: int, low: int = -128, high: int = 127) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.int64, (2, steps, 2, 4), elements=st.integers(low, high))


@settings(max_examples=60, deadline=None)
@given(
    w=st.one_of(blocks(6), blocks(6, -20, 20), blocks(6, -3, 3)),
    act_max=st.sampled_from([1, 3, 15, 127, 255]),
    run_steps=st.sampled_from([2, 3, 6]),
)
def test_maddubs_depth_is_safe_and_largest(w: np.ndarray, act_max: int, run_steps: int) -> None:
    depth = maddubs_depth(w, act_max, run_steps)

    def safe(d: int) -> bool:
        low, high = lane_extremes(w, act_max, d, run_steps)
        return low >= -32768 and high <= 32767

    whole = w.reshape(2, -1, 2, 4)
    low, high = lane_extremes(whole, act_max, 0, whole.shape[1])
    assert (depth == 0) == (low >= -32768 and high <= 32767)
    if depth is None:
        assert not any(safe(d) for d in DEPTHS)
    elif depth:
        assert safe(depth)
        assert not any(safe(d) for d in DEPTHS if d > depth)


@pytest.mark.parametrize(
    ("limit", "act_max", "depth"),
    [(64, 255, 1), (32, 255, 2), (8, 255, 8), (2, 255, 32), (64, 127, 2), (65, 255, None), (128, 127, 1)],
)
def test_depths_by_width(limit: int, act_max: int, depth: int | None) -> None:
    """numerics: u8 x 7, 6, 4, 2 bits share 1, 2, 8, 32 instructions; 7-bit activations double it."""
    w = np.full((1, 1000, 1, 4), -limit)
    assert maddubs_depth(w, act_max) == depth


def test_the_bound_is_asymmetric() -> None:
    """-32768 fits, +32768 does not."""
    w = np.zeros((1, 200, 1, 4), np.int64)
    w[0, :, 0, :2] = -64
    w = w[:, :1]
    assert maddubs_depth(w, 256) == 0
    assert maddubs_depth(-w, 256) is None


@settings(max_examples=60, deadline=None)
@given(w=blocks(5), act_max=st.sampled_from([127, 200, 255]))
def test_split_steps_are_safe_and_no_others_are_split(w: np.ndarray, act_max: int) -> None:
    split = split_steps(w, act_max)
    for b, step in np.ndindex(2, 5):
        half = w[b, step] // 2
        for part in (half, w[b, step] - half) if split[b, step] else (w[b, step],):
            low, high = lane_extremes(part[None, None], act_max, 1, 1)
            assert low >= -32768
            assert high <= 32767
        assert split[b, step] == (maddubs_depth(w[b : b + 1, step : step + 1], act_max) is None)


@settings(max_examples=60, deadline=None)
@given(w=arrays(np.int64, (1, 8, 2, 2), elements=st.integers(-32768, 32767)), act_max=st.sampled_from([255, 2000, 32768]))
def test_int32_depth(w: np.ndarray, act_max: int) -> None:
    depth = int32_depth(w, act_max)

    def worst(d: int) -> int:
        return max(int(act_max * np.abs(w[0, i : i + d]).sum(axis=(0, 2)).max()) for i in range(0, 8, d))

    if depth is None:
        assert worst(1) > 2**31 - 1
    else:
        assert worst(depth or 8) <= 2**31 - 1
        assert depth == 0 or worst(8) > 2**31 - 1


@settings(max_examples=80, deadline=None)
@given(
    w=st.one_of(
        *(arrays(np.int32, (2, 24, 3, fields), elements=st.integers(low, 1)) for fields, low in ((3, -2), (2, -2), (3, 0)))
    ),
    act_max=st.sampled_from([1, 3]),
    run_steps=st.sampled_from([1, 2, 12, 24]),
)
def test_look_up_bytes_hold(w: np.ndarray, act_max: int, run_steps: int) -> None:
    """Every partial sum of a block stays in 0 .. 255, from the start on, whatever the input."""
    depth, start = lut_depth(w, act_max, run_steps)
    span, size = (24, 24) if depth == 0 else (run_steps, depth)
    assert depth <= run_steps
    for run in range(0, 24, span):
        for first in range(run, run + span, size):
            group = w[:, first : min(first + size, run + span)]
            assert start + act_max * np.minimum(group, 0).sum((1, 3)).min() >= 0
            assert start + act_max * np.maximum(group, 0).sum((1, 3)).max() <= 255


def test_look_up_depth_of_the_worst_weights() -> None:
    """Nine steps of three products always share a byte; a total must stay in int16."""
    w = np.full((1, 600, 2, 3), -2)
    w[:, :, 1] = 1
    assert lut_depth(w, 3, 600) == (9, 168)
    assert lut_depth(np.full((1, 1821, 1, 3), -2), 3, 1821) is None  # 1821 * 18 = 32778
    assert lut_depth(np.full((1, 1820, 1, 3), -2), 3, 1820) is not None
