"""What each choice of each dimension costs and harms, alone: the table that greedy and ilp work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lowbit.progress import stage
from lowbit.searching.strategies.strategy import Plan, Problem

__all__ = ["Sensitivities", "measure_sensitivities", "widest"]

_NOTE = "sensitivity"


@dataclass(frozen=True)
class Sensitivities:
    """``harm``: dimension -> for each choice, by how much the outputs' distance from the float network's on calibration rows
    grows when only this dimension leaves its widest choice; 0 there, and never less than at the next wider choice.
    ``cost``: metric -> dimension -> for each choice, by how much the metric grows (falls: below 0).  ``base``: metric -> its
    value where all are widest."""

    harm: Mapping[str, Sequence[float]]
    cost: Mapping[str, Mapping[str, Sequence[float]]]
    base: Mapping[str, float]


def widest(problem: Problem) -> Plan:
    """The plan of all widest choices."""
    return {dimension.name: dimension.texts[-1] for dimension in problem.space.dimensions}


def costs_of(problem: Problem) -> list[str]:
    """The metrics to save in: the objectives that are costs; sum_of_bits where there is none."""
    found = [objective.name for objective in problem.objectives if not objective.metric.software and not objective.maximize]
    return found or ["sum_of_bits"]


def measure_sensitivities(problem: Problem) -> Sensitivities:
    """Probes every choice, on compiled kernels; dimension by dimension kept in the notes of the study, so that an interrupted
    search goes on where it was."""
    evaluator, names, start = problem.evaluator, costs_of(problem), widest(problem)

    def probe(plan: Plan) -> dict[str, float]:
        candidate = evaluator.apart(plan)
        found = evaluator.measure(candidate, names)
        return {"harm": evaluator.divergence(candidate), **{name: found[name].value for name in names}}

    dimensions = problem.space.dimensions
    total = 1 + sum(len(dimension.choices) - 1 for dimension in dimensions)
    with stage("sensitivity", total, problem.progress) as advance:
        key = f"{_NOTE}:base"
        base = problem.notes.get(key)
        if base is None:
            base = problem.notes[key] = probe(start)
        advance(1)
        found: dict[str, list[dict[str, float]]] = {}
        for dimension in dimensions:
            key = f"{_NOTE}:{dimension.name}"
            held = problem.notes.get(key)
            if held is None:
                held = []
                for text in dimension.texts[:-1]:
                    held.append(probe({**start, dimension.name: text}))
                    advance(1, f"sensitivity of {dimension.name}")
                problem.notes[key] = held
            else:
                advance(len(held))
            found[dimension.name] = [*held, base]
    harm = {}
    for name, probes in found.items():
        values, worst = [], 0.0
        for one in reversed(probes):
            worst = max(worst, one["harm"] - base["harm"])
            values.append(worst)
        harm[name] = values[::-1]
    cost = {metric: {name: [one[metric] - base[metric] for one in probes] for name, probes in found.items()} for metric in names}
    return Sensitivities(harm, cost, {metric: base[metric] for metric in names})
