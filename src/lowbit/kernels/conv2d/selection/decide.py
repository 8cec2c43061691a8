"""The way from a problem to a kernel: what was measured where there is such, else what the model estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.cost import DIRECT, winograd_name
from lowbit.kernels.conv2d.selection.decision import Decision, Key, decision_of, key_of, state_of
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import best, describe, option, outcome, outcomes, tilings_of
from lowbit.kernels.conv2d.selection.winograd import tilings
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import Target

__all__ = ["REALIZERS", "Decider", "Decisions", "Request", "decide", "realize"]


@dataclass(frozen=True, eq=False)
class Request:
    """A problem that asks for a decision.  ``model``: what the cost model chooses; ``found``: what it chose from."""

    key: Key
    problem: ConvProblem
    weights: np.ndarray
    target: Target
    model: Choice
    found: Sequence[Choice] = ()

    def allows(self, key: Key) -> bool:
        """Whether a measurement made for ``key`` holds here: everything that was tried then is proven again, and is
        allowed, or not, as it was.  What else there is to try by now, new forms, does not matter."""
        own = self.key.states
        return key.problem == self.key.problem and all(
            state == (own[name] if name in own else state_of(outcome(name, self.problem, self.weights, self.target)))
            for name, state in key.states.items()
        )

    @property
    def macs(self) -> int:
        return self.problem.dst.pixels * self.weights.size


class Decisions(Protocol):
    """Where decisions come from."""

    def find(self, request: Request) -> Decision | None:
        """The decision for this problem; None leaves it to the model."""

    def refuse(self, request: Request, decision: Decision) -> None:
        """Told of a decision that these weights or this target do not allow."""


class Decider(Protocol):
    """:func:`decide`, or what stands in for it."""

    def __call__(
        self, problem: ConvProblem, weights: np.ndarray, target: Target, decisions: Decisions | None = None
    ) -> tuple[Choice, bool]: ...


def decide(problem: ConvProblem, weights: np.ndarray, target: Target, decisions: Decisions | None = None) -> tuple[Choice, bool]:
    """The kernel for ``problem`` and whether it was decided by ``decisions``.

    A decision is used only where it is admissible for these very weights; else the model chooses, as in
    ``select.choose``.  Raises UnsupportedPrecision where no form fits.
    """
    weights = np.asarray(weights)
    tried = outcomes(problem, weights, target)
    found = [choice for choice in tried.values() if choice is not None]
    model = best(found, problem, weights, target)
    if decisions is None:
        return model, False
    request = Request(key_of(problem, tried), problem, weights, target, model, found)
    decision = decisions.find(request)
    if decision is None:
        return model, False
    choice = realize(decision, problem, weights, target, found)
    if choice is None:
        decisions.refuse(request, decision)
        return model, False
    return choice, True


def realize(
    decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target, found: Sequence[Choice] = ()
) -> Choice | None:
    """The choice that ``decision`` means for these weights, everything proven; None where it is not admissible.

    ``found``: what ``select.options`` gives for them, where it is known already: proofs are not repeated."""
    realizer = REALIZERS.get(decision.algorithm)
    return None if realizer is None else realizer(decision, problem, np.asarray(weights), target, found)


def _of_kind(decision: Decision, found: Iterable[Choice]) -> Choice | None:
    """The one of ``found`` with the decision's algorithm and form."""
    kinds = ((choice, decision_of(choice)) for choice in found)
    return next((c for c, d in kinds if (d.algorithm, d.form) == (decision.algorithm, decision.form)), None)


def _direct(
    decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target, found: Sequence[Choice]
) -> Choice | None:
    form = FORMS.get(decision.form)
    if form is None:
        return None
    proven = _of_kind(decision, found) or option(form, problem, weights, target)
    if proven is None:
        return None
    assert isinstance(proven.spec, ConvSpec)
    tile, unit = (decision.mr, decision.nr), (decision.m_tiles, decision.n_blocks)
    if tile not in {(t.mr, t.nr) for t in tilings_of(proven, target)}:
        return None
    sized = replace(proven.spec, mr=decision.mr, nr=decision.nr)
    tiles, blocks = sized.tiles, sized.blocks
    if not (1 <= decision.m_tiles <= tiles and 1 <= decision.n_blocks <= blocks):
        return None
    try:
        return describe(form, problem, weights, tile, unit, proven.spec.depth, proven.spec.parts)
    except UnsupportedPrecision:  # a form whose proof depends on nr
        return None


def _winograd(
    decision: Decision, problem: ConvProblem, weights: np.ndarray, target: Target, found: Sequence[Choice]
) -> Choice | None:
    name = f"{decision.algorithm}-{decision.form}"
    choice = _of_kind(decision, found) or outcome(name, problem, weights, target)  # other costs may not have tried it
    if choice is None:
        return None
    assert isinstance(choice.spec, WinogradSpec)
    sized = (replace(choice, spec=spec, packing=replace(choice.packing, nr=spec.nr)) for spec in tilings(choice.spec, target))
    return next((candidate for candidate in sized if decision_of(candidate) == decision), None)


REALIZERS: dict[str, Callable[[Decision, ConvProblem, np.ndarray, Target, Sequence[Choice]], Choice | None]] = {
    DIRECT: _direct,
    winograd_name(2): _winograd,
    winograd_name(4): _winograd,
}
