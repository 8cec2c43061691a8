"""Every plan of a space, in an order that the seed shuffles: a stopped search has seen a fair sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowbit.errors import ConfigError
from lowbit.searching.space import Space
from lowbit.searching.strategies.strategy import Plan, Problem, Tried

__all__ = ["LIMIT", "brute_force", "nth_plan"]

LIMIT = 20_000
"""Plans of a space that is enumerated, at most."""


def brute_force(problem: Problem) -> Callable[[Sequence[Tried], Sequence[Plan]], Plan | None]:
    """Raises ConfigError, with the number, for a space of more than ``LIMIT`` plans."""
    size = problem.space.size
    if size > LIMIT:
        raise ConfigError(
            f"brute force over {size:,} plans; at most {LIMIT:,} are enumerated: search fewer layers, fewer widths, tie layers, "
            "or take another strategy"
        )
    order = np.random.default_rng(problem.seed).permutation(size).tolist()

    def propose(_: Sequence[Tried], taken: Sequence[Plan]) -> Plan | None:
        known = {tuple(plan.values()) for plan in taken}
        plans = (nth_plan(problem.space, index) for index in order)
        return next((plan for plan in plans if tuple(plan.values()) not in known), None)

    return propose


def nth_plan(space: Space, index: int) -> Plan:
    """The plans of a space in lexicographic order, the last dimension fastest."""
    plan: Plan = {}
    for dimension in reversed(space.dimensions):
        index, digit = divmod(index, len(dimension.choices))
        plan[dimension.name] = dimension.texts[digit]
    return {dimension.name: plan[dimension.name] for dimension in space.dimensions}
