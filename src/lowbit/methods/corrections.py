"""Closed-form corrections of layers, one after the other, on what the network quantized so far gives them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from lowbit.graph import Node
from lowbit.graph.ops import LAYERS
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import Pair, rows_that_fit, walk
from lowbit.progress import stage
from lowbit.quantization import Choice, LayerNumbers

__all__ = ["correct_layers"]

Correction = Callable[[Task, Choice, Node, dict[str, Pair]], LayerNumbers | None]
"""The new integers of a layer that reads these values; None: it keeps those it has."""


def correct_layers(task: Task, name: str, correction: Correction) -> Task:
    """The task with every layer corrected."""
    samples = task.samples_for(name)
    rows = rows_that_fit(task.graph, len(samples[0]))
    layers = [node.name for node in task.graph.nodes if node.op in LAYERS]
    began, choice, changed = time.monotonic(), task.choice, 0
    with stage(name, len(layers), task.progress) as advance:

        def visit(node: Node, values: dict[str, Pair], _: Tensor) -> Choice:
            nonlocal choice, changed
            numbers = correction(task, choice, node, values)
            if numbers is not None:
                choice, changed = choice.with_layers({node.name: numbers}), changed + 1
            advance(1, f"{name} {node.name}")
            return choice

        walk(task.graph, choice, tuple(value[:rows] for value in samples), visit)
    return replace(task, choice=choice, log=(*task.log, Step(name, f"{changed} layers on {rows} rows", time.monotonic() - began)))
