"""How much a method has to compute, counted beforehand, so that what is done does not depend on the clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.methods.adaround import AdaRound
from lowbit.methods.coordinate_descent import CoordinateDescent
from lowbit.methods.task import Task
from lowbit.methods.walk import rows_that_fit

__all__ = ["RATE", "descent_within", "multiplications", "rounding_within"]

RATE = 8e9
"""Multiplications a second that a plan counts on: roughly what one core with AVX2 gives in these loops."""
_WALKS = 6  # times all rows pass through the network: each of three methods, and judging each
_LEAST = 50  # iterations, however little may be done


def multiplications(graph: Graph) -> int:
    """Of one row in all layers: each output value takes one for every weight of its channel."""
    total, rows = 0, graph.types[graph.inputs[0]].shape[0]
    for node in graph.nodes:
        if node.op in LAYERS:
            outputs = math.prod(graph.types[node.name].shape) // rows
            total += outputs * math.prod(graph.types[node.inputs[1]].shape[1:])
    return total


def descent_work(graph: Graph, rows: int, method: CoordinateDescent) -> int:
    """Multiplications of coordinate descent: sums of products of inputs, twice, then each sweep every weight with every other one
    of its output channel."""
    batch, total = graph.types[graph.inputs[0]].shape[0], 0
    sweeps = method.most_sweeps
    for node in graph.nodes:
        if node.op in LAYERS:
            outputs, *inputs = graph.types[node.inputs[1]].shape
            depth, groups = math.prod(inputs), node.attrs.get("groups", 1)
            positions = math.prod(graph.types[node.name].shape) // outputs // batch * rows
            total += 2 * min(positions, method.count(graph, node)) * depth * depth * groups
            total += sweeps * outputs * depth * depth
    return total


def descent_within(task: Task, seconds: float, methods: Sequence[CoordinateDescent]) -> tuple[CoordinateDescent | None, float]:
    """(the first that ``seconds`` have room for at RATE, or None; the seconds that are left)."""
    rows = rows_that_fit(task.graph, len(task.fit[0])) if task.fit else 0
    for method in methods:
        needed = descent_work(task.graph, rows, method) / RATE
        if needed <= seconds:
            return method, seconds - needed
    return None, seconds


def rounding_within(task: Task, seconds: float, method: AdaRound) -> AdaRound:
    """The method with as many of its iterations as ``seconds`` have room for at RATE, beside ``_WALKS`` passes of the float and
    the quantized network: an iteration multiplies each weight 2 * batch times, forwards and for its gradient."""
    rows = rows_that_fit(task.graph, len(task.fit[0])) if task.fit else 0
    left = seconds * RATE - _WALKS * 2 * rows * multiplications(task.graph)
    weights = sum(task.graph.constants[node.inputs[1]].size for node in task.graph.nodes if node.op in LAYERS)
    room = int(left / (2 * method.batch * max(weights, 1)))
    return replace(method, iterations=min(method.iterations, max(_LEAST, room)))
