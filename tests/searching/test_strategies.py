"""Strategies on a space where the truth is known."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import optuna
import pytest

from lowbit.errors import ConfigError
from lowbit.searching.fronts import front, hypervolume, reference_point
from lowbit.searching.run import Loop, complete, tried
from lowbit.searching.strategies import STRATEGIES, Problem, find_strategy
from lowbit.searching.strategies.brute_force import LIMIT, nth_plan
from lowbit.searching.strategies.greedy import greedy_path, spread_order
from lowbit.searching.strategies.ilp import solve
from lowbit.searching.strategies.sensitivity import measure_sensitivities, widest
from lowbit.searching.strategies.strategy import Plan
from lowbit.searching.study import Notes, quiet_optuna
from tests.searching.networks import additive


def run(problem: Problem, name: str, trials: int, study: Any = None, stop_after: int | None = None) -> Any:
    """A study of a problem; interrupted after some evaluations, if so."""
    directions = [o.direction for o in problem.objectives]
    study = study or optuna.create_study(directions=directions)
    problem.notes = Notes(study)
    count = 0

    def measure(plan: Plan) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == stop_after:
            raise KeyboardInterrupt
        names = [o.name for o in problem.objectives]
        metrics = {n: v.value for n, v in problem.evaluator.measure(problem.evaluator.candidate(plan), names).items()}  # type: ignore[arg-type]
        return {"metrics": metrics, "errors": {}, "layers": {}, "digest": "", "seconds": 0.0}

    with quiet_optuna():
        finished = Loop(study, problem, find_strategy(name), trials, (), measure=measure).run(1, False)
    assert finished == (stop_after is None or count < stop_after)
    return study


def plans(study: Any) -> list[tuple[Any, ...]]:
    return [tuple(t.params.values()) for t in complete(study)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_gives_the_same_study(name: str) -> None:
    trials = 6 if name == "gp" else 12
    first, second = (run(additive(trials=trials), name, trials) for _ in range(2))
    assert plans(first) == plans(second)
    assert len(plans(first)) == (8 if name == "greedy" else trials)  # its path has eight plans


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_interrupted_study_goes_on_as_it_would_have_gone(name: str) -> None:
    trials = 8 if name == "gp" else 14
    whole = run(additive(trials=trials), name, trials)
    stopped = run(additive(trials=trials), name, trials, stop_after=5)
    assert len(plans(stopped)) < len(plans(whole))
    again = run(additive(trials=trials), name, trials, study=stopped)
    assert plans(again) == plans(whole)


@pytest.mark.parametrize("constraint", [None, "accuracy >= 0.4"])
@pytest.mark.parametrize("name", ["greedy", "ilp"])
def test_a_long_study_goes_on(name: str, constraint: str | None) -> None:
    """What was proposed before counts for nothing but itself: more trials than a strategy's patience."""

    def problem() -> Problem:
        return additive(sizes=[5] * 16, constraint=constraint)

    count = 62 if name == "ilp" else 60
    whole = plans(run(problem(), name, count))
    begun = run(problem(), name, count - 2)
    assert len(whole) == count
    assert plans(run(problem(), name, count, study=begun)) == whole


@pytest.mark.parametrize("name", [n for n in STRATEGIES if STRATEGIES[n].sampler is not None and n != "gp"])
def test_seeds_differ(name: str) -> None:
    a, b = (run(additive(seed=0, trials=8), name, 8), additive(seed=0, trials=8))
    b.seed = 1
    assert plans(a) != plans(run(b, name, 8))


def test_brute_force_tries_every_plan_once() -> None:
    problem = additive()
    study = run(problem, "brute-force", problem.space.size)
    everything = set(product((2, 3, 4), (2, 3, 4), (2, 3, 4, 5)))
    assert sorted(plans(study)) == sorted(everything)
    assert {tuple(nth_plan(problem.space, i).values()) for i in range(problem.space.size)} == everything


def test_brute_force_refuses_absurd_sizes_with_the_number() -> None:
    problem = additive(sizes=[6] * 9)
    with pytest.raises(ConfigError, match=f"10,077,696 plans; at most {LIMIT:,}"):
        run(problem, "brute-force", 10)


def test_a_search_that_has_seen_the_whole_space_ends() -> None:
    study = run(additive(sizes=(2, 2)), "random", 1000)
    assert len(set(plans(study))) == 4


def test_a_plan_is_evaluated_once() -> None:
    problem = additive(sizes=(2, 2))
    study = run(problem, "random", 12)
    evaluated = [tuple(plan.values()) for plan in problem.evaluator.calls]  # type: ignore[attr-defined]
    assert len(evaluated) == len(set(evaluated))
    assert len(plans(study)) >= len(evaluated)


def true_front(problem: Problem) -> np.ndarray:
    every = [nth_plan(problem.space, i) for i in range(problem.space.size)]
    values: Any = problem.evaluator
    rows = np.array([[-values.value("accuracy", p), values.value("size", p)] for p in every])
    return rows[front(rows)]


@pytest.mark.parametrize("seed", range(4))
def test_sensitivities_are_what_each_choice_does_alone(seed: int) -> None:
    problem = additive(seed=seed)
    seen = measure_sensitivities(problem)
    evaluator: Any = problem.evaluator
    for d in problem.space.dimensions:
        assert seen.harm[d.name] == pytest.approx(evaluator.tables["harm"][d.name])
        of = evaluator.tables["size"][d.name]
        assert seen.cost["size"][d.name] == pytest.approx([value - of[-1] for value in of])
    calls = len(evaluator.calls)
    assert measure_sensitivities(problem) == seen
    assert len(evaluator.calls) == calls  # kept in the notes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_ilp_finds_the_least_harm_of_each_budget(seed: int, share: float) -> None:
    problem = additive(seed=seed, sizes=(3, 4, 3))
    seen = measure_sensitivities(problem)
    plan = solve(problem, seen, {"size": share})
    every = [nth_plan(problem.space, i) for i in range(problem.space.size)]
    evaluator: Any = problem.evaluator
    sizes = [evaluator.value("size", p) for p in every]
    budget = min(sizes) + share * (max(sizes) - min(sizes)) + 1e-6
    best = min(evaluator.value("harm", p) for p, size in zip(every, sizes, strict=True) if size <= budget)
    assert plan is not None
    assert evaluator.value("size", plan) <= budget
    assert evaluator.value("harm", plan) == pytest.approx(best, abs=1e-4)


def test_greedy_narrows_one_dimension_at_a_time() -> None:
    problem = additive(sizes=(3, 2, 4))
    path = greedy_path(problem, measure_sensitivities(problem))
    assert path[0] == widest(problem)
    assert set(path[-1].values()) == {2}
    assert len(path) == 1 + 2 + 1 + 3
    for before, after in pairwise(path):
        changed = [name for name in before if before[name] != after[name]]
        assert len(changed) == 1
        assert int(before[changed[0]]) - int(after[changed[0]]) == 1


def test_greedy_takes_the_cheapest_step_first() -> None:
    problem = additive(sizes=(2, 2))
    evaluator: Any = problem.evaluator
    evaluator.tables = {"harm": {"d0": [0.5, 0.0], "d1": [0.1, 0.0]}, "size": {"d0": [1, 2], "d1": [1, 2]}}
    path = greedy_path(problem, measure_sensitivities(problem))
    assert [list(plan.values()) for plan in path] == [[3, 3], [3, 2], [2, 2]]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_spread_order_covers_everything(count: int) -> None:
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    assert order[:2] == list(dict.fromkeys((0, count - 1)))


@pytest.mark.parametrize("name", ["greedy", "ilp"])
def test_with_a_constraint_the_boundary_is_approached(name: str) -> None:
    problem = additive(sizes=[5] * 6, constraint="accuracy >= 0.4", trials=16)
    study = run(problem, name, 16)
    seen = tried(study, problem)
    good = [one.metrics["accuracy"] for one in seen if one.feasible]
    assert good
    spread = sorted(abs(one.metrics["accuracy"] - 0.4) for one in seen)
    assert spread[2] < 0.25  # several plans near it


@pytest.mark.parametrize(("name", "share"), [("ilp", 0.97), ("greedy", 0.9), ("nsga2", 0.8), ("tpe", 0.8), ("random", 0.6)])
def test_strategies_find_most_of_the_front(name: str, share: float) -> None:
    problem = additive(sizes=[4] * 5, trials=60)
    study = run(problem, name, 60)
    truth = true_front(problem)
    reference = reference_point(truth) + 1e-9
    rows = np.array([[-one.metrics["accuracy"], one.metrics["size"]] for one in tried(study, problem)])
    assert hypervolume(rows, reference) >= share * hypervolume(truth, reference)


def test_constraints_are_kept_with_trials() -> None:
    problem = additive(constraint="accuracy >= 0.4", trials=20)
    study = run(problem, "nsga2", 20)
    for trial, one in zip(complete(study), tried(study, problem), strict=True):
        assert one.violations == [pytest.approx(0.4 - one.metrics["accuracy"])]
        assert any("constraint" in key for key in trial.system_attrs)


def test_a_misspelt_strategy_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'nsga'; known: tpe, nsga2, nsga3, gp, random, brute-force, greedy, ilp"):
        find_strategy("nsga")
