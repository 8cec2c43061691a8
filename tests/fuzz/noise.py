"""How far a float graph's outputs may move when every value moves a little: the measure of an error's size.

Rounding puts an error on every value.  What that does to the outputs depends on the network (cancellation, steep
functions), so no fixed tolerance is right.  Here the graph is evaluated again with a random error of known size added
to every value and constant; what the outputs then move by is the scale on which a difference is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lowbit.frontend import evaluate
from lowbit.graph import Graph, Node, TensorType

__all__ = ["rounding", "spread"]

_FLOAT_ERROR = 2.0**-22  # of the largest element of a tensor: a few roundings to float32
_SMALLEST = 2.0**-126  # below, float32 has fewer digits

Amplitude = Callable[[str, np.ndarray], float]
"""(name, value) -> largest error that is added to its elements."""


def rounding(name: str, value: np.ndarray) -> float:
    """The amplitude of a few roundings to float32."""
    return max(_FLOAT_ERROR * float(np.abs(value).max(initial=0.0)), _SMALLEST * 2.0**-22)


def spread(
    graph: Graph, inputs: Sequence[Tensor], outputs: Sequence[Tensor], amplitude: Amplitude, trials: int = 3
) -> list[float]:
    """For each output the largest change seen: float64, with errors of these amplitudes on every value."""
    values: dict[str, np.ndarray] = {}
    evaluate(graph, inputs, lambda name, value: values.__setitem__(name, value.numpy()), torch.float64)
    sizes = {name: amplitude(name, value) for name, value in {**values, **graph.constants}.items()}
    moved = [0.0] * len(graph.outputs)
    for seed in range(trials):
        random = np.random.default_rng(seed)
        noisy = _disturbed(graph, sizes, random)
        errors = [torch.from_numpy(_noise(graph, name, sizes, random)) for name in graph.inputs]
        near = [x.double() + error for x, error in zip(inputs, errors, strict=True)]
        for index, (a, b) in enumerate(zip(evaluate(noisy, near, dtype=torch.float64), outputs, strict=True)):
            difference = (a - b).abs().double()
            if b.dtype == torch.int64:  # a position moves by any distance, or not at all
                difference[difference > 0] = torch.inf
            moved[index] = max(moved[index], float(difference.max()) if bool(difference.isfinite().all()) else float("inf"))
    return moved


def _noise(graph: Graph, name: str, sizes: Mapping[str, float], random: np.random.Generator) -> np.ndarray:
    return np.asarray(random.choice((-1.0, -0.5, 0.5, 1.0), size=graph.types[name].shape) * sizes[name])


def _disturbed(graph: Graph, sizes: Mapping[str, float], random: np.random.Generator) -> Graph:
    """Behind every node an addition of noise; noise in every constant, rounded to float32 as constants are."""
    constants = {name: np.asarray(value + _noise(graph, name, sizes, random)) for name, value in graph.constants.items()}
    nodes: list[Node] = []
    types = dict(graph.types)
    for node in graph.nodes:
        if graph.types[node.name].dtype == "int64":
            nodes.append(node)
            continue
        exact, error = f"{node.name}~exact", f"{node.name}~error"
        types[exact] = types[error] = TensorType(graph.types[node.name].shape)
        constants[error] = _noise(graph, node.name, sizes, random)
        nodes += [replace(node, name=exact), Node(node.name, "add", (exact, error))]
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), types, constants)
