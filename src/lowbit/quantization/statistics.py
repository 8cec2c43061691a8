"""Figures about an integer graph: widths, sizes, and channels that say nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.errors import InputError
from lowbit.graph import Graph, Node, interpret
from lowbit.graph.ops import LAYERS

__all__ = ["LayerStatistics", "average_bits", "dead_channels", "layer_statistics"]


@dataclass(frozen=True)
class LayerStatistics:
    """``parameters``: weights and biases.  ``weights``, ``activations``: text of the types of the
    weights and of the input, "f32" where there is none.  ``weight_bytes``: weights as stored, at
    their container's width.  ``macs``: multiplications of one run."""

    name: str
    op: str
    parameters: int
    weights: str
    activations: str
    weight_bytes: int
    macs: int


def _layers(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op in LAYERS]


def _bits(graph: Graph, value: str) -> int:
    params = graph.types[value].quant
    return 32 if params is None else params.qtype.bits


def layer_statistics(graph: Graph) -> list[LayerStatistics]:
    """One entry per conv2d and linear, in order of execution; float graphs too."""
    result = []
    for node in _layers(graph):
        x, w = (graph.types[name] for name in node.inputs[:2])
        count = math.prod(w.shape)
        has_bias = len(node.inputs) > 2 + bool(node.attrs.get("residual"))
        out = graph.types[node.name].shape
        container = 32 if w.quant is None else w.quant.container
        result.append(
            LayerStatistics(
                name=node.name,
                op=node.op,
                parameters=count + (w.shape[0] if has_bias else 0),
                weights="f32" if w.quant is None else str(w.quant.qtype),
                activations="f32" if x.quant is None else str(x.quant.qtype),
                weight_bytes=-(-count * container // 8),
                macs=math.prod(out) * math.prod(w.shape[1:]),
            )
        )
    return result


def average_bits(graph: Graph) -> tuple[float, float]:
    """(bits of a weight, averaged over all weights; bits of an activation, averaged over all elements
    that layers read).  float32 counts 32.  (0, 0) for a graph without layers."""
    layers = _layers(graph)
    means = []
    for index in (1, 0):
        sizes = [math.prod(graph.types[node.inputs[index]].shape) for node in layers]
        bits = [_bits(graph, node.inputs[index]) for node in layers]
        means.append(sum(s * b for s, b in zip(sizes, bits, strict=True)) / max(sum(sizes), 1))
    return means[0], means[1]


def dead_channels(graph: Graph, batches: Iterable[Sequence[np.ndarray]]) -> dict[str, tuple[int, int]]:
    """Layer -> (output channels that held one single value at all positions of all ``batches``,
    output channels).  A batch is the list of inputs that interpret takes.  Raises InputError for no batches."""
    layers = {node.name: node for node in _layers(graph)}
    lowest: dict[str, np.ndarray] = {}
    highest: dict[str, np.ndarray] = {}

    def observe(name: str, value: np.ndarray) -> None:
        if name not in layers:
            return
        axis = 1 if layers[name].op == "conv2d" else value.ndim - 1
        others = tuple(d for d in range(value.ndim) if d != axis)
        lo, hi = value.min(others), value.max(others)
        lowest[name] = np.minimum(lowest.get(name, lo), lo)
        highest[name] = np.maximum(highest.get(name, hi), hi)

    ran = False
    for inputs in batches:
        interpret(graph, inputs, observe)
        ran = True
    if not ran:
        raise InputError("dead channels need at least one batch of inputs")
    return {name: (int((lowest[name] == highest[name]).sum()), len(lowest[name])) for name in layers}
