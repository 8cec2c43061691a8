"""An integer linear program over the sensitivities and costs of single layers.

Yao, Dong, Zheng, Gholami, Yu, Tan, Wang, Huang, Wang, Mahoney, Keutzer: HAWQ-V3: Dyadic Neural Network Quantization, ICML 2021,
section 3.4, with measured sensitivities in place of Hessian traces.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from lowbit.searching.strategies.sensitivity import Sensitivities, measure_sensitivities
from lowbit.searching.strategies.strategy import Plan, Problem, Tried

__all__ = ["ilp", "solve"]

_NARROW = 2.0**-12  # of a gap that is not divided any more
_PATIENCE = 48  # budgets in a row without a plan that is new: the front of the program is known


def ilp(problem: Problem) -> Callable[[Sequence[Tried], Sequence[Plan]], Plan | None]:
    """Solves :func:`solve` for budgets that cover the costs ever more finely: of all costs alike, of each alone, then of all
    combinations.  With constraints, every second plan lies between the last one that holds to them and the first that does
    not, on the lines of all costs alike and of each alone in turn."""
    seen = measure_sensitivities(problem)
    lines = _lines(list(seen.cost))
    budgets = _budgets(list(seen.cost))
    solved: dict[Shares, Plan | None] = {}

    def plan_for(shares: Shares) -> Plan | None:
        if shares not in solved:
            solved[shares] = solve(problem, seen, dict(zip(seen.cost, shares, strict=True)))
        return solved[shares]

    def between(line: Line, feasible: dict[tuple[int | str, ...], bool]) -> Shares | None:
        """The middle of the gap in which the constraints begin to be broken."""
        points = []
        for shares, plan in solved.items():
            if (point := line.point(shares)) is not None and plan is not None and tuple(plan.values()) in feasible:
                points.append((point, feasible[tuple(plan.values())]))
        for (low, bad), (high, good) in pairwise(sorted(points)):
            if good and not bad and high - low > _NARROW:
                return line.at((low + high) / 2)
        return None

    queue: list[Shares] = []
    produced: set[tuple[int | str, ...]] = set()
    futile = 0  # budgets in a row that produced nothing else

    def propose(tried: Sequence[Tried], taken: Sequence[Plan]) -> Plan | None:
        nonlocal futile
        known = {tuple(plan.values()) for plan in taken}

        def new(shares: Shares) -> Plan | None:
            plan = plan_for(shares)
            return None if plan is None or tuple(plan.values()) in known else plan

        if problem.constraints and len(taken) % 2:
            feasible = {tuple(one.plan.values()): one.feasible for one in tried}
            turn = len(taken) // 2 % len(lines)
            for line in lines[turn:] + lines[:turn]:
                while (shares := between(line, feasible)) is not None and shares not in solved:
                    if (plan := new(shares)) is not None:
                        return plan
        for shares in queue:
            if (plan := new(shares)) is not None:
                return plan
        while futile < _PATIENCE:
            queue.append(next(budgets))
            plan = plan_for(queue[-1])
            key = () if plan is None else tuple(plan.values())
            futile = futile + 1 if plan is None or key in produced else 0
            produced.add(key)
            if plan is not None and key not in known:
                return plan
        return None

    return propose


Shares = tuple[float, ...]
"""For each cost, which part of the way from the least to the largest a budget allows."""


@dataclass(frozen=True)
class Line:
    """Budgets that differ in one number: ``costs`` are limited alike, the others not at all."""

    costs: tuple[bool, ...]

    def at(self, point: float) -> Shares:
        return tuple(point if limited else 1.0 for limited in self.costs)

    def point(self, shares: Shares) -> float | None:
        """Where budgets lie on the line; None: they do not."""
        point = min(shares)
        return point if shares == self.at(point) else None


def _lines(costs: Sequence[str]) -> list[Line]:
    """All costs alike, then each alone."""
    alone = [Line(tuple(other == cost for other in costs)) for cost in costs] if len(costs) > 1 else []
    return [Line((True,) * len(costs)), *alone]


def _budgets(costs: Sequence[str]) -> Iterator[Shares]:
    """The ends of every line, then ever finer: points of the lines, and of the grid of all combinations."""
    step = 1
    while True:
        points = [Fraction(k, step) for k in (range(step + 1) if step == 1 else range(1, step, 2))]
        for line in _lines(costs):
            yield from (line.at(float(point)) for point in points)
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
    with _no_output():
        done = milp(harm / size + 1e-6 * tie, constraints=limits, integrality=np.ones(starts[-1]), bounds=Bounds(0, 1))
    if done.x is None:
        return None
    chosen = [int(np.argmax(done.x[start : start + count])) for start, count in zip(starts, counts, strict=False)]
    return {dimension.name: dimension.texts[index] for dimension, index in zip(dimensions, chosen, strict=True)}


@contextmanager
def _no_output() -> Iterator[None]:
    """HiGHS, which solves it, prints a line of its own on some programs, whatever it is told."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
