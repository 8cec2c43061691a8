"""Cross-layer equalisation: channels of neighbouring layers get weights of equal range, and the network computes the same.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.1; Meller, Finkelstein, Almog, Grobman: Same, Same But Different, ICML 2019.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.methods.task import Step, Task

__all__ = ["Equalization", "equalize", "pairs_of"]

_KEEPS_CHANNELS = ("avg_pool2d", "max_pool2d", "min_pool2d", "pad", "reshape", "slice", "take")


@dataclass(frozen=True)
class Equalization:
    """For layers A and B such that B alone reads what A gives, A's clamp is a ReLU or none, and between them lie only pools, zero
    padding, selected rows and columns, and a flattening of 1x1 maps: f(s x) = s f(x) for s > 0, so that channel i of A may be
    divided and the weights of B that read it multiplied by (eq. 11)

        s_i = sqrt(r_A r_B) / r_B,   r_A = max|W_A[i]|, r_B = max|W_B[:, i]|

    pair by pair, ``passes`` times.  ReLU6 has a fixed bound and lets nothing through.  Changes the float graph of the task,
    equivalent to it but for rounding; ranges are observed again on ``rows`` of the kept samples, and weights rounded to
    nearest."""

    passes: int = 20
    rows: int = 512

    changes_network: ClassVar[bool] = True  # its task has another float graph

    def __call__(self, task: Task) -> Task:
        samples = task.samples_for("cross-layer equalisation")
        began, pairs = time.monotonic(), pairs_of(task.graph)
        if not pairs:
            return task.with_choice(task.choice, Step("cross-layer equalisation", "no pair of layers that allows it"))
        graph = equalize(task.graph, self.passes)
        done = task.with_graph(graph, [value[: self.rows] for value in task.calibration.samples or samples])
        step = Step("cross-layer equalisation", f"{len(pairs)} pairs of layers", time.monotonic() - began)
        return done.with_choice(done.choice, step)


def pairs_of(graph: Graph, clamped: bool = False) -> list[tuple[Node, Node]]:
    """The pairs (A, B) between which channels can be scaled; with ``clamped`` also those of which A has an upper bound."""
    users = graph.users()
    found = []
    for first in graph.nodes:
        if first.op not in LAYERS or first.attrs.get("residual") or (first.attrs.get("hi") is not None and not clamped):
            continue
        if first.attrs.get("lo") not in (None, 0) or len(graph.types[first.name].shape) not in (2, 4):
            continue
        value, axis = first.name, _channel_axis(graph, first, first.name)
        while axis == 1 and value not in graph.outputs and len(users[value]) == 1 and _keeps_channels(graph, users[value][0]):
            value = users[value][0].name
        if value in graph.outputs or len(users[value]) != 1:
            continue
        second = users[value][0]
        reads = second.op in LAYERS and second.inputs.count(value) == 1 and second.inputs[0] == value
        if reads and axis == _channel_axis(graph, second, value):
            found.append((first, second))
    return found


def _channel_axis(graph: Graph, node: Node, value: str) -> int:
    """The axis of a value along which a layer has its channels."""
    return 1 if node.op == "conv2d" else len(graph.types[value].shape) - 1


def _keeps_channels(graph: Graph, node: Node) -> bool:
    """Whether a node works on each channel by itself, and scaled inputs give scaled results."""
    if node.op not in _KEEPS_CHANNELS:
        return False
    before, after = graph.types[node.inputs[0]].shape, graph.types[node.name].shape
    if node.op == "reshape":
        return before[:2] == after and before[2:] == (1,) * (len(before) - 2)
    if len(before) != 4 or before[:2] != after[:2]:
        return False
    if node.op == "take":
        return node.attrs["indices"][1] is None
    return node.op != "pad" or node.attrs["value"] == 0


def equalize(graph: Graph, passes: int) -> Graph:
    """The graph with the weights and biases of all its pairs equalised."""
    pairs = pairs_of(graph)
    for _ in range(passes):
        for first, second in pairs:
            w, v = graph.constants[first.inputs[1]], graph.constants[second.inputs[1]]
            range_a = np.abs(w.astype(np.float64)).reshape(len(w), -1).max(1)
            range_b = np.abs(_by_input(second, v)).max((1, 3)).reshape(-1)
            known = (range_a > 0) & (range_b > 0)
            factor = np.ones(len(w))
            factor[known] = np.sqrt(range_b[known] / range_a[known])
            graph = scaled(graph, first, second, factor)
    return graph


def scaled(graph: Graph, first: Node, second: Node, factor: np.ndarray) -> Graph:
    """The graph in which channel i of what ``first`` gives is ``factor[i]`` > 0 times as large, and ``second`` makes up for it.

    As it is where another node reads one of their constants."""
    users = graph.users()
    names = [name for node in (first, second) for name in node.inputs if name in graph.constants]
    if any(len(users[name]) > 1 for name in names):
        return graph
    held = {name: graph.constants[name].astype(np.float64) for name in names}
    w, v = held[first.inputs[1]], held[second.inputs[1]]
    changed = {first.inputs[1]: w * factor.reshape((-1,) + (1,) * (w.ndim - 1))}
    if len(first.inputs) > 2:
        changed[first.inputs[2]] = held[first.inputs[2]] * factor
    by_input = _by_input(second, v)
    changed[second.inputs[1]] = (by_input / factor.reshape(len(by_input), 1, -1, 1)).reshape(v.shape)
    return graph.rebuild(graph.nodes, constants={name: value.astype(np.float32) for name, value in changed.items()})


def _by_input(node: Node, v: np.ndarray) -> np.ndarray:
    """Weights (O, I, ...) of G groups as (G, O/G, I, taps)."""
    groups = node.attrs.get("groups", 1)
    return v.astype(np.float64).reshape(groups, len(v) // groups, v.shape[1], -1)
