"""Optuna's samplers, seeded trial by trial; and ours in its clothes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lowbit.searching.strategies.strategy import Plan, Problem, distributions

__all__ = ["Proposing", "Seeded", "gp", "nsga2", "nsga3", "random", "rank_of", "tpe"]


def rank_of(study: Study, trial: FrozenTrial) -> int:
    """How many trials before this one did not fail: the same, whether the study was interrupted or not."""
    others = study.get_trials(deepcopy=False)
    return sum(other.state != TrialState.FAIL for other in others if other.number < trial.number)


class Seeded(BaseSampler):
    """Another sampler, made anew for every trial from (seed, rank of the trial)."""

    def __init__(self, make: Callable[[Problem, int], BaseSampler], problem: Problem) -> None:
        self._make, self._problem = make, problem
        self._of = threading.local()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        seed = (self._problem.seed * 1_000_003 + rank_of(study, trial) * 7_919) % (2**32 - 1)
        self._of.inner = self._make(self._problem, seed)
        inner = self._of.inner
        inner.before_trial(study, trial)
        if "fixed_params" in trial.system_attrs:  # tried again: Optuna does not ask, but the sampler shall count it in
            inner.sample_relative(study, trial, inner.infer_relative_search_space(study, trial))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of.inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._of.inner.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return self._of.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._of.inner.after_trial(study, trial, state, values)


class Proposing(BaseSampler):
    """``next_plan`` says what comes."""

    def __init__(self, problem: Problem, next_plan: Callable[[Study], Plan | None]) -> None:
        self._problem, self._next = problem, next_plan

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions(self._problem.space)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        plan = self._next(study)
        return {} if plan is None else dict(plan)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Only where another worker took the last plan meanwhile."""
        return RandomSampler(self._problem.seed).sample_independent(study, trial, param_name, param_distribution)


def random(problem: Problem, seed: int) -> BaseSampler:
    return RandomSampler(seed)


def tpe(problem: Problem, seed: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    few = max(2, min(10, (problem.trials or 100) // 5))
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=few)


def _population(problem: Problem) -> int:
    """At least four generations."""
    return max(4, min(50, (problem.trials or 200) // 4))


def nsga2(problem: Problem, seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(population_size=_population(problem), seed=seed)


def nsga3(problem: Problem, seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(population_size=_population(problem), seed=seed)


def gp(problem: Problem, seed: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=max(2, min(10, (problem.trials or 100) // 5)))
