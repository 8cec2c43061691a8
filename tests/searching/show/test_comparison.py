"""Conclusions follow from the spread, and from nothing else."""

from __future__ import annotations

import io
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lowbit.errors import ToolMissing
from lowbit.searching.show import comparison_page, comparison_table, conclusions
from lowbit.searching.show.comparison import ranking
from lowbit.searching.show.series import at, holm, least_p, length, mann_whitney, measures, pairs, reached, sign_test
from tests.searching.show.samples import comparison

stats = pytest.importorskip("scipy.stats", reason="pip install lowbit[search]")


def text(given_comparison: dict[str, Any]) -> str:
    return "\n".join(conclusions(given_comparison))


def test_what_lies_far_apart_differs_and_what_overlaps_does_not() -> None:
    said = text(comparison())
    assert "tpe is ahead of <b>random</b> (p = 0.024" in said
    assert "nsga2 is ahead of <b>random</b>" in said
    assert "cannot be told apart with these seeds: nsga2 and tpe" in said
    assert "nsga2 is ahead of tpe" not in said
    assert "tpe is ahead of nsga2" not in said


def test_minimized_values_are_ordered_the_other_way() -> None:
    turned = comparison({"a": 0.9, "b": 0.7}) | {"best_direction": "minimize"}
    assert ranking(turned, "best", 30) == ["b", "a"]
    assert ranking(turned, "hypervolume", 30) == ["a", "b"]
    assert "b is ahead of a" in text(turned)


def test_a_difference_within_the_noise_is_none_however_small_p_is() -> None:
    near = comparison({"a": 0.9, "b": 0.88}, spread=0.001, noise=0.05)
    assert all(p.p < 0.05 and not p.different for p in pairs(near, "best", 30))
    assert " is ahead of " not in text(near)
    assert " is ahead of " in text(comparison({"a": 0.9, "b": 0.88}, spread=0.001, noise=0.001))
    assert "noise of one evaluation unknown, taken as none" in text(comparison({"a": 0.9, "b": 0.8}, noise=None))


def test_three_seeds_conclude_nothing() -> None:
    few = comparison({"a": 0.9, "b": 0.1}, seeds=3)
    assert "best: with 3 seeds no test can conclude: at least 4 of two strategies are needed" in text(few)
    assert " is ahead of " not in text(few)
    assert " is ahead of " in text(comparison({"a": 0.9, "b": 0.1}, seeds=4))


def test_three_seeds_conclude_nothing_beside_many() -> None:
    c = comparison({"a": 0.9, "b": 0.1}, seeds=30)
    c["strategies"]["b"] = comparison({"b": 0.1}, seeds=3)["strategies"]["b"]
    assert pairs(c, "best", 30) == []
    assert "with 3 seeds no test can conclude" in text(c)
    c["strategies"]["c"] = comparison({"c": 0.8}, seeds=30)["strategies"]["c"]
    assert "best: fewer than 4 seeds, shown and not tested: b" in text(c)
    assert "a is ahead of c" in text(c)
    order = next(said for said in conclusions(c) if said.startswith("best after 30"))
    assert [part.split()[0] for part in order.partition(": ")[2].split("), ")] == ["a", "c", "b"]


def test_a_strategy_without_chance_is_one_observation() -> None:
    c = comparison({"a": 0.9, "b": 0.7}, seeds=5)
    c["strategies"]["a"]["best"] = [c["strategies"]["a"]["best"][0]] * 5
    assert [p.p for p in pairs(c, "best", 30)] == [2 / 32]  # five seeds below one value, not five pairs of five
    assert "best: the same run for every seed, one observation: a" in text(c)
    assert "no difference can reach p < 0.05 (the smallest possible is 0.062)" in text(c)
    assert " is ahead of " not in text(c).split("hypervolume")[0]
    c["strategies"]["b"]["best"] = [c["strategies"]["b"]["best"][0]] * 5
    assert "a is ahead of b (p = 0," in text(c)


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_signs_are_those_of_scipy(found: list[int]) -> None:
    above, below = sum(v > 0 for v in found), sum(v < 0 for v in found)
    expected = stats.binomtest(above, above + below).pvalue if above + below else 1.0
    assert sign_test(found, 0) == pytest.approx(expected)


def test_an_enumeration_is_drawn_as_far_as_the_budgets() -> None:
    c = comparison(trials=30)
    c["strategies"]["all"] = {"best": [[0.5] * 700], "hypervolume": [[0.5] * 700], "seconds": [1.0]}
    assert length(c, "best") == 30
    assert length(c | {"trials": []}, "best") == 700


def test_too_many_pairs_for_so_few_seeds_are_said() -> None:
    many = comparison({name: 0.1 * i for i, name in enumerate("abcdef", 3)}, seeds=5)
    assert least_p(many, "best") == pytest.approx(15 * 2 / 252)
    assert "no difference can reach p < 0.05 (the smallest possible is 0.12)" in text(many)
    assert " is ahead of " not in text(many)
    assert "no difference can reach" not in text(comparison({"a": 0.9, "b": 0.1}, seeds=5))


def test_equal_strategies_are_rarely_told_apart() -> None:
    """By chance alone at most one comparison in twenty concludes something: here of 200, 3 strategies each."""
    wrong = 0
    chance = random.Random(1)
    for _ in range(200):
        c = comparison(noise=0.0, seeds=5, trials=1)
        for strategy in c["strategies"].values():
            strategy["best"] = [[chance.random()] for _ in range(5)]
        wrong += any(p.different for p in pairs(c, "best", 1))
    assert wrong <= 20  # 0.05 * 200 = 10, and 3 standard deviations


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6, unique=True),
)
def test_exact_p_is_that_of_scipy_without_ties(first: list[float], second: list[float]) -> None:
    if set(first) & set(second):
        return
    expected = stats.mannwhitneyu(first, second, alternative="two-sided", method="exact").pvalue
    assert mann_whitney(first, second) == pytest.approx(expected)


def test_p_with_ties_and_infinities() -> None:
    assert mann_whitney([1.0] * 5, [1.0] * 5) == 1.0
    assert mann_whitney([1.0] * 20, [1.0] * 20) == 1.0
    assert mann_whitney([-math.inf] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 252)
    # one dealt value in common: 1 1 | 1 2 2; of 10 ways to deal two places, ranks 2 2 2 4.5 4.5; sum 4 is 3 ways, 9 is 1 way,
    # 6.5 is 6 ways; expected 6, so |d| = 2, 3, 0.5
    assert mann_whitney([1.0, 1.0], [1.0, 2.0, 2.0]) == pytest.approx(4 / 10)
    many = [float(i) for i in range(12)]
    assert mann_whitney(many, [v + 100 for v in many]) < 1e-4


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_raw_and_bonferroni(p: list[float]) -> None:
    corrected = holm(p)
    for raw, c in zip(p, corrected, strict=True):
        assert raw <= c <= min(1.0, len(p) * raw) + 1e-12 or c <= min(1.0, len(p) * max(p)) + 1e-12
        assert c >= raw
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [corrected[i] for i in order] == sorted(corrected)


def test_series_that_end_keep_their_last_value() -> None:
    assert at([0.1, 0.5], 10) == 0.5
    assert at([0.1, 0.5], 1) == 0.1
    assert at([], 1) is None
    assert at([None, 0.5], 1) is None
    assert at([float("nan")], 1) is None


def test_regret_and_the_trials_it_took() -> None:
    c = comparison({"a": 0.9}, noise=0.02)
    c["strategies"]["a"]["best"] = [[0.5, 0.99, 0.99], [0.5, 0.6, 0.985], [0.5, 0.6, 0.7]]
    c["trials"] = [3]
    assert reached(c, "a", "best") == [2, 3, None]
    said = io.StringIO()
    Console(file=said, width=200).print(comparison_table(c))
    assert "3 (2 of 3)" in said.getvalue()
    assert "regret of the median to the optimum 1: a 0.015" in text(c)
    c["noise"] = {"best": 0.012}
    assert reached(c, "a", "best") == [2, None, None]


def test_nothing_found_yet_is_worst() -> None:
    c = comparison({"a": 0.9, "b": 0.8})
    c["strategies"]["b"]["best"] = [[None] * 30] * 5
    assert ranking(c, "best", 30) == ["a", "b"]
    assert "a is ahead of b (p = 0.062)" not in text(c)
    assert "b - (- to -)" in text(c)
    c["strategies"]["a"]["best"] = [[None] * 30] * 5
    assert " is ahead of " not in text(c | {"trials": [30], "optimum": None}).split("hypervolume")[0]
    assert comparison_page(c)


def test_only_what_was_measured_is_compared() -> None:
    c = comparison()
    for strategy in c["strategies"].values():
        strategy["best"] = []
    assert measures(c) == ["hypervolume"]
    for strategy in c["strategies"].values():
        strategy["hypervolume"] = [[]]
    assert measures(c) == []
    assert conclusions(c)[-1] == "no strategy has finished a trial: nothing can be compared"
    assert comparison_page(c)


def test_without_scipy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbit.searching.show.series.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'lowbit\[search\]'"):
        conclusions(comparison())
