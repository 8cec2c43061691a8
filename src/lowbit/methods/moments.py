"""What layers give in the float and in the quantized network, before their clamp."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.methods.simulate import parameters_of, run_node
from lowbit.methods.walk import Pair, in_chunks
from lowbit.quantization import Choice

__all__ = ["Moments", "moments_of", "outputs_of"]


@dataclass(frozen=True)
class Moments:
    """Per output channel, float64: mean and standard deviation in both networks."""

    mean: np.ndarray
    deviation: np.ndarray
    quantized_mean: np.ndarray
    quantized_deviation: np.ndarray


def outputs_of(graph: Graph, choice: Choice, node: Node, values: dict[str, Pair], residual: bool) -> Pair:
    """(float, quantized) outputs of a layer for all rows without its clamp, with its residual or without."""
    bare, reads = node.with_attrs(lo=None, hi=None), [node.inputs[0]]
    if node.attrs.get("residual"):
        reads += [node.inputs[-1]] if residual else []
        inputs = node.inputs if residual else node.inputs[:-1]
        bare = replace(bare, inputs=inputs, attrs={**bare.attrs, "residual": residual})
    fixed = {node.name: parameters_of(choice, node)}

    def exact(*given: Tensor) -> Tensor:
        return run_node(graph, bare, dict(zip(reads, given, strict=True)))

    def quantized(*given: Tensor) -> Tensor:
        return run_node(graph, bare, dict(zip(reads, given, strict=True)), fixed)

    with torch.no_grad():
        pairs = [values[name] for name in reads]
        return tuple(in_chunks(graph, node, reads, run, *(p[i] for p in pairs)) for i, run in enumerate((exact, quantized)))


def moments_of(graph: Graph, choice: Choice, node: Node, values: dict[str, Pair]) -> Moments:
    """Of one layer, over all rows and positions; without its residual and its clamp."""
    exact, quantized = outputs_of(graph, choice, node, values, residual=False)
    return Moments(_mean(exact, node), _deviation(exact, node), _mean(quantized, node), _deviation(quantized, node))


def _others(y: Tensor, node: Node) -> list[int]:
    axis = 1 if node.op == "conv2d" else y.dim() - 1
    return [d for d in range(y.dim()) if d != axis]


def _mean(y: Tensor, node: Node) -> np.ndarray:
    return y.double().mean(_others(y, node)).numpy()


def _deviation(y: Tensor, node: Node) -> np.ndarray:
    return y.double().std(_others(y, node), correction=0).numpy()
