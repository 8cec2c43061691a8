"""A network and a problem that are searched in a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

import lowbit
from lowbit.graph import Graph
from lowbit.quantization import Calibration
from lowbit.searching.metrics import Value
from lowbit.searching.objectives import Constraint, Objective, parse_bound, parse_objectives
from lowbit.searching.space import Dimension, Kind, Space
from lowbit.searching.strategies import Problem
from lowbit.searching.strategies.strategy import Plan
from tests import tiny

ROWS = 96


def module() -> Any:
    """The tiny network with a head that tells its images apart."""
    model = tiny.module()
    x = _inputs(ROWS, 1)
    with torch.no_grad():
        logits = model(x)
        model.head.weight *= 8 / logits.std()
        model.head.bias.copy_(-(model(x) - model.head.bias).mean(0))
    return model


def _inputs(rows: int, seed: int) -> torch.Tensor:
    return torch.randn((rows, 3, 8, 8), generator=torch.Generator().manual_seed(seed))


def images(rows: int = ROWS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of the tiny network, and what it says of them."""
    x = _inputs(rows, seed)
    with torch.no_grad():
        return x.numpy(), module()(x).argmax(-1).numpy()


def traced(rows: int = 8) -> Graph:
    return lowbit.trace(module(), torch.from_numpy(images(rows)[0]), name="tiny")


def calibrated(graph: Graph) -> Calibration:
    return lowbit.calibrate(graph, samples=[images(ROWS, 2)[0][i : i + 8] for i in range(0, ROWS, 8)])


class Additive:
    """Stands for an evaluator: a metric is a sum over the dimensions.  ``calls``: plans that were evaluated."""

    def __init__(self, tables: Mapping[str, Mapping[str, Sequence[float]]], dimensions: Sequence[Dimension]) -> None:
        self.tables, self.dimensions, self.calls = tables, dimensions, list[Plan]()

    def candidate(self, plan: Plan) -> Plan:
        self.calls.append(dict(plan))
        return plan

    def apart(self, plan: Plan) -> Plan:
        return self.candidate(plan)

    def value(self, name: str, plan: Plan) -> float:
        return sum(self.tables[name][d.name][d.texts.index(plan[d.name])] for d in self.dimensions)

    def measure(self, plan: Plan, wanted: Sequence[str]) -> dict[str, Value]:
        return {name: Value(self.value(name, plan)) for name in wanted}

    def divergence(self, plan: Plan) -> float:
        return self.value("harm", plan)


def additive(
    sizes: Sequence[int] = (3, 3, 4),
    objectives: str = "accuracy,size",
    constraint: str | None = None,
    seed: int = 0,
    trials: int | None = None,
) -> Problem:
    """Harm falls and size grows with every width; accuracy is 1 - harm."""
    generator = np.random.default_rng(seed)
    dimensions = tuple(Dimension(f"d{i}", Kind.WEIGHTS, (f"l{i}",), tuple(range(2, 2 + size))) for i, size in enumerate(sizes))
    harm = {d.name: np.sort(generator.random(len(d.choices)))[::-1] - 0.0 for d in dimensions}
    harm = {name: (values - values[-1]).tolist() for name, values in harm.items()}
    size = {d.name: np.cumsum(generator.integers(1, 9, len(d.choices))).tolist() for d in dimensions}
    base = 1 / len(dimensions)
    tables: Any = {"harm": harm, "size": size, "accuracy": {name: [base - v for v in values] for name, values in harm.items()}}
    space = Space("additive", dimensions, lowbit.quantization.parse_config("w8a8"), {})  # type: ignore[arg-type]
    wanted: tuple[Objective, ...] = parse_objectives(objectives)
    bounds: list[Constraint] = [] if constraint is None else [parse_bound(constraint).resolved(lambda _: {})]
    evaluator: Any = Additive(tables, dimensions)
    return Problem(space, wanted, bounds, len(wanted) == 1, seed, trials, evaluator)


def example() -> tuple[Any, torch.Tensor]:
    """The network and its example input, as a factory for the command line."""
    return module(), _inputs(1, 1)
