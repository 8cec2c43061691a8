"""What a search gives back: the study, its front, its plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowbit.errors import ConfigError
from lowbit.graph.fingerprint import fingerprint
from lowbit.methods import QuantizationPlan
from lowbit.searching.evaluator import Evaluator
from lowbit.searching.objectives import Constraint, Objective
from lowbit.searching.result import result_of
from lowbit.searching.run import complete
from lowbit.searching.space import Space
from lowbit.searching.strategies.strategy import plan_of
from lowbit.searching.study import ATTRIBUTE

if TYPE_CHECKING:
    from optuna.study import Study


__all__ = ["SearchResult", "plan_for"]


@dataclass(eq=False)
class SearchResult:
    """``study``: Optuna's.  ``complete``: False where it was interrupted.  Rows, fronts and ties: ``to_json()``."""

    study: Study
    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    evaluator: Evaluator
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """What pages, tables and pictures show."""
        return result_of(self.study, self.space, self.objectives, self.constraints)

    @property
    def front(self) -> list[int]:
        """Numbers of the trials that no other one beats; of a single objective the best alone."""
        return [trial["number"] for trial in self.to_json()["trials"] if trial["front"]]

    def plan(self, number: int, refit: bool = False) -> QuantizationPlan:
        """The numbers of a trial, for ``lowbit.compile(model, example, plan=...)``: exactly those that were judged.

        ``refit``: of the same widths those that the search's method finds for this plan as a whole, better ones where the plan
        lost much; judge them anew.

        Raises ConfigError for a number that is none."""
        return plan_for(self.study, self.space, self.evaluator, number, refit)

    @property
    def best(self) -> QuantizationPlan:
        """The plan of the first member of the front: of a single objective the best.  Raises ConfigError for none."""
        if not self.front:
            raise ConfigError(f"study {self.study.study_name!r}: no trial holds to the constraints")
        return self.plan(self.front[0])


def plan_for(study: Study, space: Space, evaluator: Evaluator, number: int, refit: bool = False) -> QuantizationPlan:
    """See ``SearchResult.plan``."""
    trials = {trial.number: trial for trial in complete(study)}
    if number not in trials or (plan := plan_of(trials[number], space)) is None:
        few = ", ".join(map(str, list(trials)[-8:])) or "none"
        raise ConfigError(f"study {study.study_name!r} has no complete trial {number}; the last ones: {few}")
    if refit:
        return evaluator.numbers.refit(plan)
    found = evaluator.candidate(plan)
    digest = trials[number].user_attrs[ATTRIBUTE]["digest"]
    if fingerprint(found.graph) != digest:
        raise ConfigError(
            f"trial {number} of study {study.study_name!r} cannot be made again: the integers are others than those that were "
            "judged, so the network, its calibration samples or lowbit changed since"
        )
    return found.plan
