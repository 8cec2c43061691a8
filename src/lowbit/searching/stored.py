"""What a storage holds, without a search: its figures, and networks of its plans."""

from __future__ import annotations

from typing import Any

from lowbit.compiler import build
from lowbit.graph.rebatch import rebatch
from lowbit.runtime import Compiled
from lowbit.searching.described import evaluator_of, settings_of
from lowbit.searching.found import plan_for
from lowbit.searching.objectives import Constraint, parse_objectives
from lowbit.searching.result import result_of
from lowbit.searching.study import ATTRIBUTE, Notes, open_storage, open_study, quiet_optuna

__all__ = ["compile_trial", "stored_result"]


def stored_result(storage: str, study: str | None) -> dict[str, Any]:
    """What a storage knows of a study; no network is opened."""
    from lowbit.searching.space import stored_space

    with quiet_optuna():
        opened = open_study(open_storage(storage), study)
        identity, notes = opened.user_attrs[ATTRIBUTE]["identity"], Notes(opened)
        objectives = parse_objectives(
            {o["name"]: {"scale": o["scale"], "direction": o["direction"]} for o in identity["objectives"]}
        )
        constraints = [Constraint.from_json(one) for one in notes.get("constraints", [])]
        return result_of(
            opened, stored_space(opened.user_attrs[ATTRIBUTE]["network"], identity["space"]), objectives, constraints
        )


def compile_trial(storage: str, study: str | None, number: int, refit: bool = False, rows: int | None = None) -> Compiled:
    """The network of a trial of a study that ``lowbit search`` made; integers equal to those that were judged, or with ``refit``
    found anew for the plan as a whole.  For the target of the search, with as many rows as were timed, or ``rows``."""
    with quiet_optuna():
        opened = open_study(open_storage(storage), study)
        settings = settings_of(opened)
        evaluator = evaluator_of(settings, None)
        plan = plan_for(opened, evaluator.space, evaluator, number, refit)
    graph = rebatch(plan.integer_graph(), rows or evaluator.timed_rows)
    return build(graph, evaluator.lowered(graph, evaluator.target), evaluator.target)
