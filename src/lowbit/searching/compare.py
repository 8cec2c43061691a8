"""How strategies do on one space: the same plans, the same images, several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowbit.errors import ConfigError
from lowbit.progress import say
from lowbit.searching.described import evaluator_of, opened_of
from lowbit.searching.fronts import hypervolume_history, reference_point
from lowbit.searching.objectives import as_costs
from lowbit.searching.opening import Opened
from lowbit.searching.run import Loop, measured_plan, tried
from lowbit.searching.settings import SearchSettings
from lowbit.searching.strategies import STRATEGIES, Strategy, find_strategy
from lowbit.searching.strategies.brute_force import LIMIT
from lowbit.searching.strategies.strategy import Plan, Tried
from lowbit.searching.study import ATTRIBUTE, quiet_optuna

__all__ = ["compare_strategies"]


def compare_strategies(
    settings: SearchSettings,
    trials: Sequence[int],
    seeds: Sequence[int],
    strategies: Sequence[str] | None = None,
    progress: bool | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Runs every strategy with every seed for the largest of ``trials``; a plan is evaluated once for all studies.

    Gives, for each strategy and seed, the best value after each trial (of the weighted sum or the single objective) or the
    hypervolume; the optimum where brute force enumerated the whole space; and the error of one evaluation.  Trials that
    break a constraint do not count.  Raises ConfigError for unknown strategies."""
    most = max(trials)
    with quiet_optuna():
        evaluator = evaluator_of(settings, progress, note)
        size = evaluator.space.size
        names = list(strategies or [name for name, one in STRATEGIES.items() if _fits(one, size, most)])
        for name in names:
            find_strategy(name)
        known: dict[tuple[int | str, ...], dict[str, Any]] = {}
        studies: dict[str, list[Opened]] = {}
        told = note or (lambda text: say(text, progress))
        shared: Opened | None = None
        for name in names:
            for seed in seeds:
                whole = find_strategy(name).enumerates
                count = size if whole else min(most, size)
                own = replace(
                    settings, strategy=name, seed=seed, trials=count, study=f"{settings.study} {name} {seed}", uniform="none"
                )
                opened = opened_of(own, evaluator, progress)
                shared = shared or opened
                _share(opened, shared)
                _Remembering(opened, known, progress).run()
                studies.setdefault(name, []).append(opened)
                if whole:
                    break  # the order matters, not what is found
            told(f"{name}: done, {len(known):,} plans evaluated so far")
    return _compared(settings, studies, trials, seeds, size)


def _fits(strategy: Strategy, size: int, most: int) -> bool:
    if strategy.enumerates:
        return size <= min(LIMIT, 10 * most)
    return strategy.trials is None or most <= strategy.trials


def _share(opened: Opened, first: Opened) -> None:
    """Sensitivities are those of the space, whoever measured them."""
    for key, value in first.problem.notes.items():
        if key.startswith("sensitivity:") and key not in opened.problem.notes:
            opened.problem.notes[key] = value


class _Remembering:
    """A loop that asks what other studies found before it evaluates a plan."""

    def __init__(self, opened: Opened, known: dict[tuple[int | str, ...], dict[str, Any]], progress: bool | None) -> None:
        self._opened, self._known, self._progress = opened, known, progress

    def run(self) -> None:
        opened = self._opened
        for trial in opened.study.get_trials(deepcopy=False):
            if ATTRIBUTE in trial.user_attrs:
                key = tuple(trial.params[d.name] for d in opened.problem.space.dimensions)
                self._known.setdefault(key, trial.user_attrs[ATTRIBUTE])
        loop = Loop(opened.study, opened.problem, opened.strategy, opened.trials, opened.wanted, measure=self._measure)
        if not loop.run(1, self._progress):
            raise KeyboardInterrupt

    def _measure(self, plan: Plan) -> dict[str, Any]:
        key = tuple(plan.values())
        if key not in self._known:
            self._known[key] = measured_plan(self._opened.problem, plan, self._opened.wanted)
        return self._known[key]


def _compared(
    settings: SearchSettings, studies: dict[str, list[Opened]], trials: Sequence[int], seeds: Sequence[int], size: int
) -> dict[str, Any]:
    first = next(iter(studies.values()))[0]
    problem = first.problem
    objectives, single = problem.objectives, problem.single
    up = objectives[0].maximize if len(objectives) == 1 else True
    seen = {name: [tried(one.study, problem) for one in several] for name, several in studies.items()}

    def point(one: Tried) -> np.ndarray:
        return as_costs(objectives, one.metrics, single)

    everything = [point(one) for runs in seen.values() for run in runs for one in run if one.feasible]
    if not everything:
        raise ConfigError("no trial of any strategy holds to the constraints, so there is nothing to compare")
    reference = reference_point(np.stack(everything))
    found: dict[str, Any] = {}
    for name, runs in seen.items():
        points = [[point(one) if one.feasible else None for one in run] for run in runs]
        found[name] = {
            "best": [_best(run, up) for run in points] if single else [],
            "hypervolume": [] if single else [hypervolume_history(run, reference) for run in points],
            "seconds": [_seconds(opened) for opened in studies[name]],
        }
    optimum = None
    if run := next((found[name] for name, runs in seen.items() if find_strategy(name).enumerates and len(runs[0]) >= size), None):
        optimum = {"best": run["best"][0][-1]} if single else {"hypervolume": run["hypervolume"][0][-1]}
    return {
        "network": problem.evaluator.graph.name,
        "data": problem.evaluator.data.description,
        "objectives": [objective.to_json() for objective in objectives],
        "mode": "weighted" if single else "pareto",
        "trials": sorted(trials),
        "seeds": list(seeds),
        "space": {"size": size},
        "strategies": found,
        "best_direction": "maximize" if up else "minimize",
        "optimum": optimum,
        "noise": _noise(first, studies, single),
    }


def _best(run: Sequence[np.ndarray | None], up: bool) -> list[float | None]:
    """The best value after each trial; None before one counts."""
    best: float | None = None
    values: list[float | None] = []
    for one in run:
        if one is not None:
            best = float(one[0]) if best is None else min(best, float(one[0]))
        values.append(None if best is None else -best if up else best)
    return values


def _seconds(opened: Opened) -> float:
    held = [trial.user_attrs.get(ATTRIBUTE, {}).get("seconds", 0.0) for trial in opened.study.get_trials(deepcopy=False)]
    return round(float(sum(held)), 2)


def _noise(first: Opened, studies: dict[str, list[Opened]], single: bool) -> dict[str, float] | None:
    """Standard error of one evaluation of the single value: of its parts, scaled; None for fronts."""
    if not single:
        return None
    squares = []
    for several in studies.values():
        for opened in several:
            for trial in opened.study.get_trials(deepcopy=False):
                errors = trial.user_attrs.get(ATTRIBUTE, {}).get("errors")
                if errors is not None:
                    squares.append(sum((o.scale * errors.get(o.name, 0.0)) ** 2 for o in first.problem.objectives))
    return {"best": float(np.sqrt(np.median(squares)))} if squares else None
