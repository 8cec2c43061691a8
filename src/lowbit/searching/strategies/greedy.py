"""Greedy: from the widest plan, again and again the step that saves most for the harm it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from lowbit.searching.strategies.sensitivity import Sensitivities, measure_sensitivities
from lowbit.searching.strategies.strategy import Plan, Problem, Tried

__all__ = ["greedy", "greedy_path", "spread_order"]


def greedy(problem: Problem) -> Callable[[Sequence[Tried], Sequence[Plan]], Plan | None]:
    """Proposes plans of the path of :func:`greedy_path`: its ends, its middle, the middles of the halves, ...; where there are
    constraints, every second time the middle between the last plan that holds to them and the first that does not."""
    path = greedy_path(problem, measure_sensitivities(problem))
    keys = [tuple(plan.values()) for plan in path]
    order = spread_order(len(path))

    def propose(tried: Sequence[Tried], taken: Sequence[Plan]) -> Plan | None:
        known = {tuple(plan.values()) for plan in taken}
        if problem.constraints and len(taken) % 2:
            place = {key: index for index, key in enumerate(keys)}
            on_path = sorted((place[key], one.feasible) for one in tried if (key := tuple(one.plan.values())) in place)
            for (low, good), (high, other) in pairwise(on_path):
                middle = (low + high) // 2
                if good and not other and keys[middle] not in known:
                    return path[middle]
        return next((path[index] for index in order if keys[index] not in known), None)

    return propose


def greedy_path(problem: Problem, seen: Sensitivities) -> list[Plan]:
    """Plans from all widest to all narrowest, each with one dimension one choice narrower than the one before: the one of least
    harm / saving, the saving being the mean over the costs of what is saved of the cost of the widest plan."""
    dimensions = problem.space.dimensions
    at = {dimension.name: len(dimension.choices) - 1 for dimension in dimensions}

    def plan() -> Plan:
        return {dimension.name: dimension.texts[at[dimension.name]] for dimension in dimensions}

    path = [plan()]
    while any(at.values()):
        ratios = []
        for dimension in dimensions:
            name, index = dimension.name, at[dimension.name]
            if index:
                harm = seen.harm[name][index - 1] - seen.harm[name][index]
                saved = sum(
                    (of[name][index] - of[name][index - 1]) / max(abs(seen.base[metric]), 1e-12)
                    for metric, of in seen.cost.items()
                )
                ratios.append((harm / max(saved / len(seen.cost), 1e-9), name))
        at[min(ratios)[1]] -= 1
        path.append(plan())
    return path


def spread_order(count: int) -> list[int]:
    """0 .. count - 1: the ends, the middle, the middles of the halves, ..."""
    order = list(dict.fromkeys((0, count - 1)))
    step = 1
    while len(order) < count:
        step *= 2
        order = list(dict.fromkeys([*order, *((count - 1) * k // step for k in range(1, step, 2))]))
    return order
