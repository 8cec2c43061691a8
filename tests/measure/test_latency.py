"""Latency: interleaving, blocks, statistics."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import ConfigError
from lowbit.measure.latency import Latency, blocks, measure_latency


@given(st.integers(1, 200), st.integers(1, 20))
def test_blocks_share_the_runs(runs: int, rounds: int) -> None:
    sizes = blocks(runs, rounds)
    assert sum(sizes) == runs
    assert len(sizes) == min(runs, rounds)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_subjects_take_turns_and_each_starts_a_round() -> None:
    log: list[str] = []
    subjects = {name: lambda name=name: log.append(name) for name in "abc"}
    result = measure_latency(subjects, 6, warmup=1, rounds=3, pause_s=0)
    assert {name: len(latency.samples_ms) for name, latency in result.items()} == {"a": 6, "b": 6, "c": 6}
    order = [name for i, name in enumerate(log) if i == 0 or log[i - 1] != name]
    assert "".join(order) == "abc" + "bca"[0:3] + "cab"
    assert all(log.count(name) == 6 + 3 for name in "abc")  # one warm-up a round


def test_progress_is_told_after_each_block() -> None:
    told: list[str] = []
    measure_latency({"a": int, "b": int}, 4, rounds=2, pause_s=0, progress=told.append)
    assert told == ["a", "b", "b", "a"]


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=40))
def test_statistics(samples: list[float]) -> None:
    latency = Latency(tuple(samples))
    assert latency.min_ms <= latency.median_ms <= latency.max_ms
    assert latency.mean_ms == pytest.approx(sum(samples) / len(samples))
    assert latency.std_ms == pytest.approx(statistics.pstdev(samples))


def test_a_slower_subject_measures_slower() -> None:
    def work(n: int) -> int:
        return sum(range(n))

    result = measure_latency({"short": lambda: work(1_000), "long": lambda: work(200_000)}, 10, pause_s=0)
    assert result["long"].median_ms > result["short"].median_ms


def test_no_runs_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        measure_latency({"a": int}, 0)
