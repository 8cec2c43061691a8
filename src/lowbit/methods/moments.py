"""Means and deviations of what layers give before their clamp, in the float and in the quantized network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.methods.simulate import parameters_of, run_node
from lowbit.methods.walk import Pair, in_chunks
from lowbit.quantization import Choice

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True)
class Moments:
    """Per output channel, float64: mean and standard deviation in both networks."""

    mean: np.ndarray
    deviation: np.ndarray
    quantized_mean: np.ndarray
    quantized_deviation: np.ndarray


def moments_of(graph: Graph, choice: Choice, node: Node, values: dict[str, Pair]) -> Moments:
    """Of one layer, over all rows and positions; without its residual and its clamp."""
    bare = node.with_attrs(lo=None, hi=None)
    reads = [node.inputs[0]]
    if node.attrs.get("residual"):
        bare = type(node)(node.name, node.op, node.inputs[:-1], {**bare.attrs, "residual": False}, node.source)
    sides = []
    for side, layers in ((0, None), (1, {node.name: parameters_of(choice, node)})):
        with torch.no_grad():
            y = in_chunks(
                lambda x, layers=layers: run_node(graph, bare, {reads[0]: x}, layers),
                graph.types[node.name].shape[1:],
                values[reads[0]][side],
            )
        sides += [_mean(y, node), _deviation(y, node)]
    return Moments(*sides)


def _others(y: Tensor, node: Node) -> list[int]:
    axis = 1 if node.op == "conv2d" else y.dim() - 1
    return [d for d in range(y.dim()) if d != axis]


def _mean(y: Tensor, node: Node) -> np.ndarray:
    return y.double().mean(_others(y, node)).numpy()


def _deviation(y: Tensor, node: Node) -> np.ndarray:
    return y.double().std(_others(y, node), correction=0).numpy()
