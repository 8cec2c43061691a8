"""The proofs of narrow accumulators, against brute force over the worst inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lowbit.kernels.conv2d.exactness import DEPTHS, int32_depth, maddubs_depth, split_steps


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
def test_split_steps_are_all_safe_and_complete(w: np.ndarray, act_max: int) -> None:
    entries, starts = split_steps(w, act_max)
    assert entries.dtype == starts.dtype == np.int32
    assert len(starts) == 3
    assert starts[-1] == len(entries)
    for b in range(2):
        total = np.zeros_like(w[b])
        for entry in entries[starts[b] : starts[b + 1]]:
            step, mode = divmod(int(entry), 4)
            half = w[b, step] // 2
            part = {0: w[b, step], 1: half, 2: w[b, step] - half}[mode]
            low, high = lane_extremes(part[None, None], act_max, 1, 1)
            assert low >= -32768
            assert high <= 32767
            total[step] += part
        assert (total == w[b]).all()
    single = sum(1 for entry in entries if entry % 4 == 0)
    unsafe = sum(maddubs_depth(w[b : b + 1, s : s + 1], act_max) is None for b in range(2) for s in range(5))
    assert single + unsafe == 10


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
