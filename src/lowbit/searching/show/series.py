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
from lowbit.searching.show.shapes import finite

__all__ = [
    "LEAST_SEEDS", "LEVEL", "Comparison", "Pair", "at", "check_scipy", "constant", "direction", "holm", "least_p", "length",
    "mann_whitney", "measures", "middle", "optimum", "pairs", "reached", "sign_test", "tested", "values",
]  # fmt: skip

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


def length(comparison: Comparison, measure: str) -> int:
    """How many trials to draw: the largest budget; without one the longest series.

    An enumeration goes on beyond every budget."""
    longest = max((len(one) for s in comparison["strategies"].values() for one in s.get(measure) or ()), default=0)
    return min(longest, max(comparison["trials"], default=longest))


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


def constant(comparison: Comparison, strategy: str, measure: str) -> bool:
    """Whether two seeds or more gave the same series: chance has no part, and more seeds are no more evidence."""
    series: list[Sequence[Any]] = list(comparison["strategies"][strategy].get(measure) or ())
    return len(series) > 1 and all(list(one) == list(series[0]) for one in series)


def tested(comparison: Comparison, measure: str) -> list[str]:
    """Strategies that a test can say something about: LEAST_SEEDS seeds or more."""
    return [name for name, s in comparison["strategies"].items() if len(s.get(measure) or ()) >= LEAST_SEEDS]


@dataclass(frozen=True)
class Pair:
    """Two strategies at one budget.

    ``p``: corrected by Holm's method over all pairs of that budget and measure.  ``gap``: difference of the medians, first
    less second.  ``different``: p < 0.05 and ``|gap|`` above the noise of one evaluation."""

    first: str
    second: str
    p: float
    gap: float
    different: bool


def pairs(comparison: Comparison, measure: str, trials: int) -> list[Pair]:
    """All pairs of the strategies that are `tested`.  Raises ToolMissing without scipy.

    p of a two-sided Mann-Whitney U test over seeds, exact (all ways to deal the pooled ranks to the two strategies, ties as
    mean ranks) up to 20,000 ways, above that scipy's asymptotic one.  Against a `constant` strategy of a two-sided sign
    test of the other's seeds against its value; of two constant ones 0 where they differ, else 1.
    Mann and Whitney 1947; Holm 1979."""
    check_scipy()
    both = list(combinations(tested(comparison, measure), 2))
    found = {name: values(comparison, name, measure, trials) for pair in both for name in pair}
    noise = finite((comparison.get("noise") or {}).get(measure)) or 0.0
    fixed = {name for name in found if constant(comparison, name, measure)}
    raw = [_p(found[a], found[b], a in fixed, b in fixed) for a, b in both]
    rows = []
    for (a, b), p in zip(both, holm(raw), strict=True):
        gap = _gap(found[a], found[b])
        rows.append(Pair(a, b, p, gap, p < LEVEL and abs(gap) > noise))
    return rows


def least_p(comparison: Comparison, measure: str) -> float:
    """The smallest corrected p that any pair could reach: the number of pairs times the smallest uncorrected one,
    ``2 / C(n + m, n)``, or ``2 / 2^n`` against a constant strategy."""
    both = list(combinations(tested(comparison, measure), 2))
    seeds = {name: len(s.get(measure) or ()) for name, s in comparison["strategies"].items()}
    fixed = {name for name in seeds if constant(comparison, name, measure)}
    smallest = 1.0
    for a, b in both:
        free = [seeds[name] for name in (a, b) if name not in fixed]
        dealt = math.comb(seeds[a] + seeds[b], seeds[a]) if len(free) == 2 else 2 ** sum(free)
        smallest = min(smallest, 2 / dealt if free else 0.0)
    return min(1.0, len(both) * smallest)


def _p(first: Sequence[float], second: Sequence[float], first_fixed: bool, second_fixed: bool) -> float:
    if first_fixed and second_fixed:
        return float(first[0] == second[0])
    if first_fixed:
        return sign_test(second, first[0])
    return sign_test(first, second[0]) if second_fixed else mann_whitney(first, second)


def sign_test(found: Sequence[float], number: float) -> float:
    """Two-sided p of as many or more of ``found`` on one side of ``number`` by tosses of a coin; equal ones do not count."""
    above, below = sum(v > number for v in found), sum(v < number for v in found)
    tosses = above + below
    return min(1.0, 2 * sum(math.comb(tosses, k) for k in range(min(above, below) + 1)) / 2**tosses)


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


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p, exact where few enough; 1 without values."""
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
