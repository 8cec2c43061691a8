"""What a strategy is, and what it may know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lowbit.searching.objectives import Constraint, Objective
from lowbit.searching.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from lowbit.searching.evaluator import Evaluator

__all__ = ["Plan", "Problem", "Strategy", "Tried", "distributions", "suggest"]

Plan = dict[str, int | str]
"""Dimension -> choice, as a storage holds them."""


@dataclass(frozen=True)
class Tried:
    """A plan that was evaluated.  ``violations``: of the constraints; it holds to them where all are at most 0."""

    plan: Plan
    metrics: Mapping[str, float]
    violations: Sequence[float]

    @property
    def feasible(self) -> bool:
        return all(value <= 0 for value in self.violations)


@dataclass(eq=False)
class Problem:
    """``trials``: how many there shall be; None: no limit.  ``single``: one value is optimised.  ``notes``: what a strategy finds
    out before its first plan, kept with the study: a dict of JSON values whose entries are stored when they are set."""

    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    single: bool
    seed: int
    trials: int | None
    evaluator: Evaluator
    notes: Any = field(default_factory=dict)
    progress: bool | None = None


@dataclass(frozen=True)
class Strategy:
    """``sampler(problem, seed)``: Optuna's, made anew for every trial, so that an interrupted study goes on as it would have
    gone; or ``propose(problem)``, which gives a function of what was tried and which plans are taken already -> the next plan,
    None: there is none left.  ``enumerates``: it tries every plan.  ``trials``: with more of them choosing takes longer than
    trying; None: never."""

    name: str
    what: str
    sampler: Callable[[Problem, int], BaseSampler] | None = None
    propose: Callable[[Problem], Callable[[Sequence[Tried], Sequence[Plan]], Plan | None]] | None = None
    enumerates: bool = False
    trials: int | None = None


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Dimension -> what Optuna may draw from: an integer where the widths follow each other, else a category."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for dimension in space.dimensions:
        texts = dimension.texts
        numbers = [text for text in texts if isinstance(text, int)]
        if len(numbers) == len(texts) and numbers == list(range(numbers[0], numbers[-1] + 1)):
            found[dimension.name] = IntDistribution(numbers[0], numbers[-1])
        else:
            found[dimension.name] = CategoricalDistribution(texts)
    return found


def suggest(trial: Any, space: Space) -> Plan:
    """The plan of an Optuna trial."""
    from optuna.distributions import IntDistribution

    plan: Plan = {}
    for name, held in distributions(space).items():
        if isinstance(held, IntDistribution):
            plan[name] = trial.suggest_int(name, held.low, held.high)
        else:
            plan[name] = trial.suggest_categorical(name, held.choices)  # type: ignore[attr-defined]
    return plan


def plan_of(trial: FrozenTrial, space: Space) -> Plan | None:
    """The plan of a stored trial: its parameters, or those that it will have; None where they are not known yet."""
    given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    names = [dimension.name for dimension in space.dimensions]
    return {name: given[name] for name in names} if all(name in given for name in names) else None
