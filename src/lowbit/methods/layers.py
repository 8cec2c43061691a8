"""Every layer of a network in turn, its integers found on what the layers before it now give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from lowbit.graph import Node
from lowbit.graph.ops import LAYERS
from lowbit.methods.store import unfinished
from lowbit.methods.task import Method, Task
from lowbit.methods.walk import Pair, rows_that_fit, walk
from lowbit.progress import stage
from lowbit.quantization import Choice, LayerNumbers

__all__ = ["layer_by_layer", "of_nearest"]

Find = Callable[[Node, Choice, dict[str, Pair], Tensor], LayerNumbers | None]
"""(layer, the choice so far, values of its inputs, what the float layer gives) -> its integers; None: those it has, for now."""


def layer_by_layer(task: Task, method: Method, name: str, find: Find, spared: tuple[str, ...] = ()) -> tuple[Choice, str]:
    """(the choice after all layers but those ``spared``, how many there were on how many rows).

    What was found is kept: an interrupted call goes on with the layer where it was."""
    samples = task.samples_for(name)
    rows = rows_that_fit(task.graph, len(samples[0]))
    layers = [node.name for node in task.graph.nodes if node.op in LAYERS and node.name not in spared]
    store, choice = unfinished(task, method), task.choice
    with stage(name, len(layers), task.progress) as advance:

        def visit(node: Node, values: dict[str, Pair], target: Tensor) -> Choice:
            nonlocal choice
            if node.name in spared:
                return choice
            found = store.get(node.name)
            if found is None and (numbers := find(node, choice, values, target)) is not None:
                found = Choice({}, {node.name: numbers})
                store.keep(node.name, found)
            choice = choice if found is None else choice.with_layers(found.layers)
            advance(1, f"{name} {node.name}")
            return choice

        walk(task.graph, choice, tuple(value[:rows] for value in samples), visit, task.targets)
    return choice, f"{len(layers)} layers on {rows} rows"


def of_nearest(gains: list[float]) -> str:
    """How much less the squared error of a layer became, in words."""
    return f", squared error of a layer x {np.mean(gains):.2f} of nearest" if gains else ""
