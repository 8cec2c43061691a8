"""Every node of a network over many rows at once, float and quantized side by side, values dropped after their last reader.

Where rows meet, or move to another axis (attention), a network has its own number of rows alone: it then runs for so many
rows at a time, and what a node gave each time lies one behind the other along axis 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import mixes_rows
from lowbit.methods.simulate import grid_of, parameters_of, run_node
from lowbit.quantization import Choice

__all__ = [
    "Pair",
    "by_channel",
    "check_apart",
    "check_rows",
    "float_values",
    "in_chunks",
    "rows_that_fit",
    "walk",
    "why_not_walked",
]

Pair = tuple[Tensor, Tensor]
"""(value of the float network, value of the quantized network in real numbers), rows along axis 0."""

Found = TypeVar("Found")

_BYTES = 1 << 30  # of values that are held at once
_CHUNK = 1 << 22  # elements of one operation's result


def check_apart(graph: Graph) -> None:
    """Raises UnsupportedOperation where rows meet: for methods that run parts of a network on any number of them."""
    if why := mixes_rows(graph):
        raise UnsupportedOperation(
            f"{graph.name}: this method takes rows one by one, but {why}; methods 'auto' and 'nearest' take such a network"
        )


def check_rows(graph: Graph, rows: int) -> None:
    """Raises UnsupportedOperation where so many rows cannot be walked."""
    if why := why_not_walked(graph, rows):
        raise UnsupportedOperation(f"{graph.name}: this method takes many rows, but {why}; method='nearest' takes any network")


def why_not_walked(graph: Graph, rows: int) -> str:
    """Why so many rows cannot walk through the network; empty if they can."""
    if not (why := mixes_rows(graph)):
        return ""
    batch = graph.types[graph.inputs[0]].shape[0] if graph.types[graph.inputs[0]].shape else 0
    if not all(graph.types[node.name].shape for node in graph.nodes) or any(
        node.op in LAYERS and len(graph.types[node.inputs[0]].shape) < 2 for node in graph.nodes
    ):
        return why
    return "" if batch <= rows else f"{why}, and there are {rows} rows for its batch of {batch}"


def _rows_at_once(graph: Graph) -> int | None:
    """The rows that walk together where they meet; None: each may walk by itself."""
    return graph.types[graph.inputs[0]].shape[0] if mixes_rows(graph) else None


def rows_that_fit(graph: Graph, rows: int, budget: int = _BYTES) -> int:
    """How many rows may be walked with so many bytes: twice what lives at once, in float32.

    Raises UnsupportedOperation as :func:`check_rows`."""
    check_rows(graph, rows)
    together = _rows_at_once(graph)
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    names = (*graph.inputs, *(node.name for node in graph.nodes))
    sizes = {name: 4 * math.prod(graph.types[name].shape[together is None :]) for name in names}
    live, most = set(graph.inputs), 1
    for index, node in enumerate(graph.nodes):
        live.add(node.name)
        most = max(most, sum(sizes[name] for name in live))
        live -= {name for name in node.inputs if last[name] == index and name not in graph.outputs}
    times = budget // (2 * most)
    return max(1, min(rows, times)) if together is None else together * max(1, min(rows // together, times))


def by_channel(node: Node, y: Tensor) -> Tensor:
    """What a layer gives, as (output channels, all else)."""
    return y.movedim(1 if node.op == "conv2d" else -1, 0).flatten(1)


def in_chunks(graph: Graph, node: Node, reads: Sequence[str], function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """``function`` of some rows of what ``node`` reads at a time, so that temporary values stay small and rows that meet are
    those of one batch."""
    shape = graph.types[node.name].shape
    if _rows_at_once(graph) is None:
        steps = [max(1, _CHUNK // max(1, math.prod(shape[1:])))] * len(values)
    else:
        steps = [graph.types[name].shape[0] for name in reads]
    times = -(-len(values[0]) // steps[0])
    if times <= 1:
        return function(*values)
    parts = zip(values, steps, strict=True)
    return torch.cat([function(*each) for each in zip(*(value.split(step) for value, step in parts), strict=True)])


def walk(
    graph: Graph,
    choice: Choice,
    samples: Sequence[np.ndarray],
    visit: Callable[[Node, dict[str, Pair], Tensor], Choice | None],
    targets: Graph | None = None,
) -> Choice:
    """Calls ``visit(layer, values, target)`` for every layer in order: ``values`` holds the :data:`Pair` of each value that is
    still read, ``target`` is what the float layer gives, with its biases of ``targets`` if that is given.  What it returns is
    the choice from here on, so that later layers see the values that its new numbers give; None: the same.  Returns the last
    choice."""
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    values: dict[str, Pair] = {}
    with torch.no_grad():
        for name, rows in zip(graph.inputs, samples, strict=True):
            given = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
            params = choice.values[name]
            values[name] = given, given if params is None else grid_of(params)(given)
    for index, node in enumerate(graph.nodes):
        reads = [name for name in node.inputs if name not in graph.constants]
        given = [values[name][0] for name in reads]
        with torch.no_grad():
            exact = target = _run(graph, node, reads, given)
            if targets is not None and any(targets.constants[n] is not graph.constants[n] for n in node.inputs if n not in reads):
                target = _run(targets, node, reads, given)
        if node.op in LAYERS:
            choice = visit(node, values, target) or choice
        with torch.no_grad():
            values[node.name] = exact, _run(graph, node, reads, [values[name][1] for name in reads], choice)
        for name in reads:
            if last[name] == index and name not in graph.outputs:
                values.pop(name, None)
    return choice


@torch.no_grad()
def float_values(
    graph: Graph, samples: Sequence[np.ndarray], wanted: Container[str], visit: Callable[[Node, Tensor], Found]
) -> dict[str, Found]:
    """``visit(node, value)`` of each wanted value that a node of the float network gives for these rows."""
    found: dict[str, Found] = {}
    together = _rows_at_once(graph) or 1
    samples = [value[: len(value) // together * together] for value in samples]
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    end = max((index for index, node in enumerate(graph.nodes) if node.name in wanted), default=-1)
    values = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in zip(graph.inputs, samples, strict=True)}
    for index, node in enumerate(graph.nodes[: end + 1]):
        reads = [name for name in node.inputs if name not in graph.constants]
        y = values[node.name] = _run(graph, node, reads, [values[name] for name in reads])
        if node.name in wanted:
            found[node.name] = visit(node, y)
        for name in reads:
            if last[name] == index:
                values.pop(name, None)
    return found


def _run(graph: Graph, node: Node, reads: list[str], given: list[Tensor], choice: Choice | None = None) -> Tensor:
    """What a node gives for all rows of what it reads; in the float network without ``choice``."""
    layers = {node.name: parameters_of(choice, node)} if choice is not None and node.op in LAYERS else None
    params = None if choice is None else choice.values[node.name]

    def scale(name: str) -> Tensor | None:
        held = None if choice is None else choice.values.get(name)
        return torch.tensor(float(held.scale)) if held is not None and held.qtype.bipolar else None

    def one(*rows: Tensor) -> Tensor:
        value = run_node(graph, node, dict(zip(reads, rows, strict=True)), layers, scale)
        return value if params is None else grid_of(params)(value)

    return in_chunks(graph, node, reads, one, *given)
