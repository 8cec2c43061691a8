"""An integer linear program over the sensitivities and costs of single layers.

Yao, Dong, Zheng, Gholami, Yu, Tan, Wang, Huang, Wang, Mahoney, Keutzer: HAWQ-V3: Dyadic Neural Network Quantization, ICML 2021,
section 3.4, with measured sensitivities in place of Hessian traces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from lowbit.searching.strategies.sensitivity import Sensitivities, measure_sensitivities
from lowbit.searching.strategies.strategy import Plan, Problem, Tried

__all__ = ["ilp", "solve"]

_PATIENCE = 48  # budgets in a row without a plan that is new: the front of the program is known


def ilp(problem: Problem) -> Callable[[Sequence[Tried], Sequence[Plan]], Plan | None]:
    """Solves :func:`solve` for budgets that cover the costs ever more finely; with constraints, every second time for budgets
    between those of the last plan that holds to them and the first that does not."""
    seen = measure_sensitivities(problem)
    budgets = _budgets(list(seen.cost))
    solved: dict[tuple[float, ...], Plan | None] = {}

    def plan_for(shares: Sequence[float]) -> Plan | None:
        key = tuple(shares)
        if key not in solved:
            solved[key] = solve(problem, seen, dict(zip(seen.cost, shares, strict=True)))
        return solved[key]

    queue: list[tuple[float, ...]] = []
    futile = 0

    def propose(tried: Sequence[Tried], taken: Sequence[Plan]) -> Plan | None:
        known = {tuple(plan.values()) for plan in taken}
        if problem.constraints and len(taken) % 2:
            feasible = {tuple(one.plan.values()): one.feasible for one in tried}
            line = sorted(
                (shares[0], feasible[tuple(plan.values())])
                for shares, plan in solved.items()
                if plan is not None and len(set(shares)) == 1 and tuple(plan.values()) in feasible
            )
            for (low, bad), (high, good) in pairwise(line):
                if good and not bad:
                    plan = plan_for([(low + high) / 2] * len(seen.cost))
                    if plan is not None and tuple(plan.values()) not in known:
                        return plan
        for shares in queue:
            plan = plan_for(shares)
            if plan is not None and tuple(plan.values()) not in known:
                return plan
        nonlocal futile
        while futile < _PATIENCE:
            queue.append(next(budgets))
            plan = plan_for(queue[-1])
            if plan is not None and tuple(plan.values()) not in known:
                futile = 0
                return plan
            futile += 1
        return None

    return propose


def _budgets(costs: Sequence[str]) -> Iterator[tuple[float, ...]]:
    """Shares of the way from the least to the largest cost: all costs alike, then each combination, ever finer."""
    step = 1
    while True:
        points = [Fraction(k, step) for k in (range(step + 1) if step == 1 else range(1, step, 2))]
        yield from ((float(point),) * len(costs) for point in points)
        if len(costs) > 1:
            grid = [Fraction(k, step) for k in range(step + 1)]
            for shares in product(grid, repeat=len(costs)):
                if len(set(shares)) > 1 and (step == 1 or any(share in points for share in shares)):
                    yield tuple(float(share) for share in shares)
        step *= 2


def solve(problem: Problem, seen: Sensitivities, shares: dict[str, float]) -> Plan | None:
    """The plan that minimises sum_d harm[d, c_d] subject to, for each cost, sum_d cost[d, c_d] <= least + share * (most - least),
    least and most being the sums of the least and the largest costs; among equal harms the cheaper.  None: there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    dimensions = problem.space.dimensions
    counts = [len(dimension.choices) for dimension in dimensions]
    starts = np.concatenate([[0], np.cumsum(counts)])
    harm = np.concatenate([np.asarray(seen.harm[d.name], float) for d in dimensions])
    one_each = np.zeros((len(dimensions), starts[-1]))
    for index, (start, count) in enumerate(zip(starts, counts, strict=False)):
        one_each[index, start : start + count] = 1
    limits = [LinearConstraint(one_each, 1, 1)]
    tie = np.zeros(starts[-1])
    for metric, of in seen.cost.items():
        row = np.concatenate([np.asarray(of[d.name], float) for d in dimensions])
        parts = [row[start : start + count] for start, count in zip(starts, counts, strict=False)]
        least, most = sum(float(part.min()) for part in parts), sum(float(part.max()) for part in parts)
        reach = max(most - least, 1e-12)
        limits.append(LinearConstraint(row / reach, -np.inf, (least + shares[metric] * (most - least)) / reach + 1e-9))
        tie += row / reach
    size = max(float(harm.max()), 1e-12)
    done = milp(harm / size + 1e-6 * tie, constraints=limits, integrality=np.ones(starts[-1]), bounds=Bounds(0, 1))
    if done.x is None:
        return None
    chosen = [int(np.argmax(done.x[start : start + count])) for start, count in zip(starts, counts, strict=False)]
    return {dimension.name: dimension.texts[index] for dimension, index in zip(dimensions, chosen, strict=True)}
