"""What a search found: its trials, its front, what noise leaves undecided, and the plans themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.searching.fronts import front, hypervolume_history, reference_point
from lowbit.searching.metrics import METRICS
from lowbit.searching.objectives import Constraint, Objective, as_costs
from lowbit.searching.strategies.strategy import plan_of
from lowbit.searching.study import ATTRIBUTE, Notes

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from lowbit.searching.space import Space

__all__ = ["result_of", "tied"]

_SURE = 2.0
"""Standard errors that a difference must exceed to count."""


@dataclass(frozen=True)
class _Row:
    number: int
    metrics: Mapping[str, float]
    errors: Mapping[str, float]
    right: np.ndarray | None


def result_of(study: Study, space: Space, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> dict[str, Any]:
    """All of a study as plain values; what pages, tables and pictures show (searching/show)."""
    about = study.user_attrs[ATTRIBUTE]
    single = about["identity"]["weighted"] or len(objectives) == 1
    trials = study.get_trials(deepcopy=False)
    rows = {t.number: _row(t) for t in trials if ATTRIBUTE in t.user_attrs and t.values is not None}
    violations = {n: {c.text: c.violation(row.metrics) for c in constraints} for n, row in rows.items()}
    good = [n for n in rows if all(value <= 0 for value in violations[n].values())]
    points = {n: as_costs(objectives, rows[n].metrics, single) for n in rows}
    members = _front(good, points)
    notes = Notes(study)
    whole = {key.partition(":")[2]: notes[key] for key in notes if key.startswith("measured:")}
    measured = {int(key): value for key, value in whole.items() if key.isdigit()}
    history: list[float] = []
    if rows and not single:
        reference = _reference(good or list(rows), points)
        history = hypervolume_history([points[n] if n in good else None for n in rows], reference)
    return {
        "study": study.study_name,
        **{
            key: about[key] for key in ("network", "data", "images", "strategy", "seed", "machine", "threads", "storage", "facts")
        },
        "mode": "weighted" if single else "pareto",
        "objectives": [objective.to_json() for objective in objectives],
        "metrics": {name: METRICS[name].to_json() for name in _names(rows)},
        "constraints": [constraint.text for constraint in constraints],
        "limits": {constraint.text: constraint.limit for constraint in constraints},
        "space": {"size": space.size, "dimensions": [d.to_json() for d in space.dimensions], "layers": about["layers"]},
        "trials": [_trial(t, rows, violations, members, objectives, measured, space) for t in trials],
        "uniform": [
            {
                "name": (name := key.partition(":")[2]),
                "metrics": notes[key]["metrics"],
                "errors": notes[key]["errors"],
                "measured": dict(whole.get(name, {})),
            }
            for key in notes
            if key.startswith("uniform:") and "metrics" in notes[key]
        ],
        "float": notes.get("float", {}),
        "hypervolume": history,
        "command": f"lowbit compile --from {about['storage']} --study {study.study_name} --trial {{number}} -o best.lowbit"
        if about["storage"]
        else "",
    }


def _names(rows: Mapping[int, _Row]) -> list[str]:
    return [name for name in METRICS if any(name in row.metrics for row in rows.values())]


def _row(trial: FrozenTrial) -> _Row:
    held = trial.user_attrs[ATTRIBUTE]
    right = np.unpackbits(np.frombuffer(bytes.fromhex(held["right"]), np.uint8)) if "right" in held else None
    return _Row(trial.number, held["metrics"], held["errors"], right)


def _reference(numbers: Sequence[int], points: Mapping[int, np.ndarray]) -> np.ndarray:
    return reference_point(np.stack([points[n] for n in numbers]))


def _front(numbers: Sequence[int], points: Mapping[int, np.ndarray]) -> list[int]:
    if not numbers:
        return []
    keep = front(np.stack([points[n] for n in numbers]))
    return [n for n, kept in zip(numbers, keep, strict=True) if kept]


def tied(a: _Row, b: _Row, objectives: Sequence[Objective]) -> bool:
    """Whether b cannot be told to be worse than a: in no objective a is better by more than two standard errors.

    Of accuracies the error is that of the paired difference, image by image."""
    for objective in objectives:
        name = objective.name
        gain = a.metrics[name] - b.metrics[name]
        gain = gain if objective.maximize else -gain
        if gain > _SURE * _noise(a, b, name):
            return False
    return True


def _noise(a: _Row, b: _Row, name: str) -> float:
    if name == "accuracy" and a.right is not None and b.right is not None and len(a.right) == len(b.right):
        differences = a.right.astype(float) - b.right
        return float(differences.std() / math.sqrt(len(differences)))
    return math.hypot(a.errors.get(name, 0.0), b.errors.get(name, 0.0))


def _trial(
    trial: FrozenTrial,
    rows: Mapping[int, _Row],
    violations: Mapping[int, Mapping[str, float]],
    members: Sequence[int],
    objectives: Sequence[Objective],
    measured: Mapping[int, Mapping[str, float]],
    space: Space,
) -> dict[str, Any]:
    row = rows.get(trial.number)
    held = trial.user_attrs.get(ATTRIBUTE, {})
    ties = (
        []
        if row is None or trial.number not in members
        else [n for n in members if n != trial.number and tied(row, rows[n], objectives)]
    )
    state = trial.state.name.lower()
    return {
        "number": trial.number,
        "state": {"fail": "failed"}.get(state, state),
        "params": plan_of(trial, space) or {},
        "layers": held.get("layers", {}),
        "metrics": dict(held.get("metrics", {})),
        "errors": dict(held.get("errors", {})),
        "scaled": {} if row is None else {o.name: o.scaled(row.metrics) for o in objectives},
        "constraints": dict(violations.get(trial.number, {})),
        "feasible": row is not None and all(value <= 0 for value in violations[trial.number].values()),
        "front": trial.number in members,
        "ties": ties,
        "measured": dict(measured.get(trial.number, {})),
        "seconds": held.get("seconds"),
        "same_as": held.get("same_as"),
        "digest": held.get("digest"),
        "failed": trial.user_attrs.get("failed"),
    }
