"""Latency of several subjects in one process, so that a busy minute falls on all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lowbit.errors import ConfigError

__all__ = ["Latency", "blocks", "measure_latency"]


@dataclass(frozen=True)
class Latency:
    """Wall-clock times of single runs, in milliseconds, in the order they were taken."""

    samples_ms: tuple[float, ...]

    @property
    def mean_ms(self) -> float:
        return statistics.fmean(self.samples_ms)

    @property
    def median_ms(self) -> float:
        return statistics.median(self.samples_ms)

    @property
    def max_ms(self) -> float:
        return max(self.samples_ms)

    @property
    def min_ms(self) -> float:
        return min(self.samples_ms)

    @property
    def std_ms(self) -> float:
        """Population standard deviation; 0 for one run."""
        return statistics.pstdev(self.samples_ms)


def blocks(runs: int, rounds: int) -> list[int]:
    """``runs`` split over at most ``rounds`` rounds, sizes differing by at most one, none empty."""
    rounds = min(runs, rounds)
    return [runs // rounds + (r < runs % rounds) for r in range(rounds)]


def measure_latency(
    subjects: Mapping[str, Callable[[], object]],
    runs: int = 30,
    *,
    warmup: int = 2,
    rounds: int = 6,
    pause_s: float = 0.05,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Latency]:
    """``runs`` timed calls of every subject, interleaved.

    A round visits every subject once, each for a block of consecutive calls: ``warmup`` untimed ones
    (they bring its weights back into the caches the others used) and its share of the timed ones.
    Every round starts one subject later than the round before, so no subject always runs first.
    ``pause_s`` seconds before a block let thread pools of the previous subject stop spinning.
    ``progress(name)`` is called after each block.  Raises ConfigError for runs < 1.
    """
    if runs < 1:
        raise ConfigError(f"runs must be at least 1, got {runs}")
    names = list(subjects)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn, size in enumerate(blocks(runs, rounds)):
        shift = turn % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            call = subjects[name]
            time.sleep(pause_s)
            for _ in range(warmup):
                call()
            for _ in range(size):
                start = time.perf_counter()
                call()
                samples[name].append((time.perf_counter() - start) * 1e3)
            if progress:
                progress(name)
    return {name: Latency(tuple(values)) for name, values in samples.items()}
