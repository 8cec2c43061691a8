"""The way from a problem to a kernel: what was measured where there is such, else what the model estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.decision import Decision, decision_of, problem_key, winograd_options
from lowbit.kernels.conv2d.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.select import best, describe, option, options, tilings_of
from lowbit.kernels.forms import FORMS
from lowbit.kernels.spec import ConvSpec
from lowbit.targets import Target

__all__ = ["REALIZERS", "Decisions", "Request", "decide", "realize"]


@dataclass(frozen=True, eq=False)
class Request:
    """A problem that asks for a decision.  ``model``: what the cost model chooses."""

    key: str
    problem: ConvProblem
    weights: np.ndarray
    model: Choice

    @property
    def macs(self) -> int:
        return self.problem.dst.pixels * self.weights.size


class Decisions(Protocol):
    """Where decisions come from."""

    def find(self, request: Request) -> Decision | None:
        """The decision for this problem; None leaves it to the model."""

    def refuse(self, request: Request, decision: Decision) -> None:
        """Told of a decision that these weights or this target do not allow."""


def decide(problem: ConvProblem, weights: np.ndarray, target: Target, decisions: Decisions | None = None) -> tuple[Choice, bool]:
    """The kernel for ``problem`` and whether it was decided by ``decisions``.

    A decision is used only where it is admissible for these very weights; else the model chooses, as in
    ``select.choose``.  Raises UnsupportedPrecision where no form fits.
    """
    weights = np.asarray(weights)
    found = options(problem, weights, target)
    model = best(found, problem, weights, target)
    if decisions is None:
        return model, False
    request = Request(problem_key(problem, found), problem, weights, model)
    decision = decisions.find(request)
    if decision is None:
        return model, False
    choice = realize(decision, problem, weights, target)
    if choice is None:
        decisions.refuse(request, decision)
        return model, False
    return choice, True


def realize(decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The choice that ``decision`` means for these weights, everything proven; None where it is not admissible."""
    realizer = REALIZERS.get(decision.algorithm)
    return None if realizer is None else realizer(decision, problem, np.asarray(weights), target)


def _direct(decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    form = FORMS.get(decision.form)
    proven = None if form is None else option(form, problem, weights, target)
    if form is None or proven is None:
        return None
    assert isinstance(proven.spec, ConvSpec)
    tile, unit = (decision.mr, decision.nr), (decision.m_tiles, decision.n_blocks)
    if tile not in {(t.mr, t.nr) for t in tilings_of(proven, target)}:
        return None
    tiles, blocks = -(-problem.dst.pixels // decision.mr), -(-problem.dst.c // decision.nr)
    if not (1 <= decision.m_tiles <= tiles and 1 <= decision.n_blocks <= blocks):
        return None
    try:
        return describe(form, problem, weights, tile, unit, proven.spec.depth, proven.spec.parts)
    except UnsupportedPrecision:  # a form whose proof depends on nr
        return None


def _winograd(decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    for choice, specs in winograd_options(problem, weights, target):
        for spec in specs:
            sized = replace(choice, spec=spec, packing=replace(choice.packing, nr=spec.nr))
            if decision_of(sized) == decision:
                return sized
    return None


REALIZERS: dict[str, Callable[[Decision, ConvProblem, np.ndarray, Target], Choice | None]] = {
    "direct": _direct,
    "winograd2": _winograd,
    "winograd4": _winograd,
}
