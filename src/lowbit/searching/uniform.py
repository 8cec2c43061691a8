"""Networks of one width everywhere, for comparison: what a search has to beat."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from lowbit.errors import ChoiceError, NumericsError, UnsupportedOperation, UnsupportedPrecision
from lowbit.progress import stage
from lowbit.searching.run import measured
from lowbit.searching.space import Kind, Space
from lowbit.searching.strategies.strategy import Plan, Problem

__all__ = ["evaluate_uniform", "uniform_plans"]


def uniform_plans(space: Space, which: str) -> dict[str, Plan]:
    """Name ("w4a8") -> plan.  ``which``: "all" pairs of widths that every dimension has, "diagonal": w = a and each w with the
    widest a, "none"."""
    activations = space.widths(Kind.ACTIVATIONS) or (8,)
    found: dict[str, Plan] = {}
    for w in reversed(space.widths(Kind.WEIGHTS)):
        for a in reversed(activations):
            plan = space.uniform(w, a)
            if plan is not None and (which == "all" or (which == "diagonal" and (w == a or a == activations[-1]))):
                found[f"w{w}a{a}"] = plan
    return found


def evaluate_uniform(
    problem: Problem, plans: dict[str, Plan], wanted: Sequence[str], notes: MutableMapping[str, Any], progress: bool | None = None
) -> dict[str, dict[str, Any]]:
    """Name -> what a trial would hold; kept in ``notes``, and read from there the next time.  Those that cannot be made are left
    out."""
    found: dict[str, dict[str, Any]] = {}
    with stage("uniform networks", len(plans), progress) as advance:
        for name, plan in plans.items():
            key = f"uniform:{name}"
            if key not in notes:
                try:
                    notes[key] = measured(problem, plan, wanted)
                except (UnsupportedPrecision, UnsupportedOperation, NumericsError, ChoiceError) as error:
                    notes[key] = {"failed": str(error)}
            if "failed" not in notes[key]:
                found[name] = notes[key]
            advance(1, f"uniform {name}")
    return found
