"""Best values after each trial, over seeds: medians, bands, regret, and which strategies can be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from statistics import median
from typing import Any

from lowbit.errors import ToolMissing
from lowbit.search.show.shapes import finite

__all__ = [
    "LEAST_SEEDS",
    "Comparison",
    "Pair",
    "at",
    "check_scipy",
    "direction",
    "measures",
    "middle",
    "optimum",
    "pairs",
    "reached",
]

Comparison = Mapping[str, Any]
LEAST_SEEDS = 4  # with three seeds each the smallest two-sided p is 2 / C(6, 3) = 0.1
LEVEL = 0.05
_EXACT = 20_000  # ways to deal the seeds to two strategies up to which all are counted


def check_scipy() -> None:
    """Raise ToolMissing, before any work, when scipy is not installed."""
    if find_spec("scipy") is None:
        raise ToolMissing("comparing strategies needs scipy; pip install 'lowbit[search]'")


def measures(comparison: Comparison) -> list[str]:
    """What every strategy has series of: "best", "hypervolume", both or none."""
    found = comparison["strategies"].values()
    return [m for m in ("best", "hypervolume") if found and all(any(s.get(m) or ()) for s in found)]


def direction(comparison: Comparison, measure: str) -> str:
    """A hypervolume is always maximized."""
    return "maximize" if measure == "hypervolume" else str(comparison["best_direction"])


def at(series: Sequence[Any], trials: int) -> float | None:
    """The value after ``trials`` trials; of a series that ended sooner (its space was exhausted) the last one; None before
    anything feasible was found."""
    return finite(series[min(trials, len(series)) - 1]) if len(series) and trials > 0 else None


def values(comparison: Comparison, strategy: str, measure: str, trials: int) -> list[float]:
    """One a seed; what has found nothing yet is infinitely bad."""
    worst = -math.inf if direction(comparison, measure) == "maximize" else math.inf
    found = (at(series, trials) for series in comparison["strategies"][strategy].get(measure) or ())
    return [worst if v is None else float(v) for v in found]


def middle(comparison: Comparison, strategy: str, measure: str, trials: int) -> tuple[float, float, float] | None:
    """(median, least, most) over seeds; None without seeds."""
    found = values(comparison, strategy, measure, trials)
    return (median(found), min(found), max(found)) if found else None


def optimum(comparison: Comparison, measure: str) -> float | None:
    """From enumerating the whole space."""
    return finite((comparison.get("optimum") or {}).get(measure))


def reached(comparison: Comparison, strategy: str, measure: str) -> list[int | None]:
    """Of every seed: after how many trials its regret was no larger than the noise of one evaluation (0 where that is
    unknown); None if never."""
    best, noise = optimum(comparison, measure), finite((comparison.get("noise") or {}).get(measure)) or 0.0
    if best is None:
        return []
    sooner = []
    for series in comparison["strategies"][strategy].get(measure) or ():
        close = (i for i, v in enumerate(series, 1) if finite(v) is not None and abs(best - v) <= noise + 1e-12 * abs(best))
        sooner.append(next(close, None))
    return sooner


@dataclass(frozen=True)
class Pair:
    """Two strategies at one budget.

    ``p``: two-sided Mann-Whitney U test over seeds, corrected by Holm's method over all pairs of that budget and measure.
    ``gap``: difference of the medians, first less second.  ``different``: p < 0.05, ``|gap|`` above the noise of one evaluation
    and at least LEAST_SEEDS seeds each."""

    first: str
    second: str
    p: float
    gap: float
    different: bool


def pairs(comparison: Comparison, measure: str, trials: int) -> list[Pair]:
    """All pairs of strategies.  Raises ToolMissing without scipy.

    The p values are exact (all ways to deal the pooled ranks to the two strategies, ties as mean ranks) up to 20,000 ways, above
    that scipy's asymptotic ones.  Mann and Whitney 1947; Holm 1979."""
    check_scipy()
    names = list(comparison["strategies"])
    found = {name: values(comparison, name, measure, trials) for name in names}
    noise = finite((comparison.get("noise") or {}).get(measure)) or 0.0
    both = list(combinations(names, 2))
    raw = [_mann_whitney(found[a], found[b]) for a, b in both]
    rows = []
    for (a, b), p in zip(both, holm(raw), strict=True):
        gap = _gap(found[a], found[b])
        rows.append(Pair(a, b, p, gap, p < LEVEL and abs(gap) > noise and min(len(found[a]), len(found[b])) >= LEAST_SEEDS))
    return rows


def least_p(comparison: Comparison, measure: str) -> float:
    """The smallest corrected p that any pair could reach: ``pairs * 2 / C(n + m, n)`` for the two largest numbers of seeds."""
    seeds = sorted((len(s.get(measure) or ()) for s in comparison["strategies"].values()), reverse=True)
    if len(seeds) < 2 or not seeds[1]:
        return 1.0
    return min(1.0, math.comb(len(seeds), 2) * 2 / math.comb(seeds[0] + seeds[1], seeds[0]))


def holm(p: Sequence[float]) -> list[float]:
    """Corrected p values in the order given: the k-th smallest times (n - k + 1), never below one before it."""
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def _gap(first: Sequence[float], second: Sequence[float]) -> float:
    if not first or not second:
        return 0.0
    a, b = median(first), median(second)
    return 0.0 if a == b else a - b  # two infinite medians differ by nothing


def _mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    import numpy as np
    from scipy import stats

    if not first or not second:
        return 1.0
    pooled = [*first, *second]
    if math.comb(len(pooled), len(first)) > _EXACT:
        order = sorted(set(pooled))  # ranks only: infinities are values like others
        place = {v: float(i) for i, v in enumerate(order)}
        if len(order) == 1:
            return 1.0
        test = stats.mannwhitneyu(
            [place[v] for v in first], [place[v] for v in second], alternative="two-sided", method="asymptotic"
        )
        return float(test.pvalue)
    ranks = stats.rankdata(pooled)
    expected = len(first) * (len(pooled) + 1) / 2
    dealt = np.array([ranks[list(places)].sum() for places in combinations(range(len(pooled)), len(first))])
    own = ranks[: len(first)].sum()
    return float(np.mean(np.abs(dealt - expected) >= abs(own - expected) - 1e-9))
