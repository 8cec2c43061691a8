"""Networks of the zoo with weights and ranges of values that are the same on every machine.

The zoo's own weights are normalized by running the network, and a calibration runs it too: both depend, in the last
bits, on the machine's float32 sums.  Here weights are sums of seeded integers, near enough to a normal distribution, times
a power of two, and what a calibration would see of a value is drawn in the same way.  Nothing is run, so nothing is said about
whether such a network computes anything sensible; it has the zoo's structure, and all that is decided about it is decided anew.
"""

from __future__ import annotations

from math import log2

import numpy as np

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.quantization import Calibration
from lowbit.quantization.observers import Histogram
from lowbit.quantization.plan import quantized_values
from lowbit.tracer import trace
from lowbit.zoo import load_network

__all__ = ["exact_calibration", "exact_graph"]

_SEEN = 4096  # numbers of one value
_SELECTS = ("avg_pool2d", "concat", "expand", "interleave", "max_pool2d", "permute", "reshape", "slice", "take")
"""Operations whose results are never negative where their inputs are not."""


def _bells(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Multiples of 1/64 with mean 0 and a standard deviation of 1.17: sums of four integers of -32 .. 32."""
    total = np.zeros(shape, np.int16)
    for _ in range(4):
        total += generator.integers(-32, 33, shape, np.int16)
    return total.astype(np.float32) / np.float32(64)


def exact_graph(name: str, seed: int = 0) -> Graph:
    """The canonical float graph of a network of the zoo at its natural size.

    Weights are :func:`_bells` times the power of two next to sqrt(2 / fan_in); batch norms have weights and variances of
    3/4 .. 5/4 and small means."""
    import torch

    model, examples = load_network(name)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            drawn = _bells(generator, tuple(value.shape))
            if value.ndim > 1:
                drawn *= np.float32(2.0 ** round(log2(2 / value[0].numel()) / 2))
            elif key.endswith(("running_var", "weight")):
                drawn = 1 + drawn / 8
            else:
                drawn /= 8
            value.copy_(torch.from_numpy(drawn))
    return trace(model, examples, name)


def exact_calibration(graph: Graph, seed: int = 0) -> Calibration:
    """What might have been seen of each value: normal numbers, their magnitudes where the value is never negative."""
    generator = np.random.default_rng(seed)
    positive = _never_negative(graph)
    histograms = {}
    for value in quantized_values(graph):
        seen = _bells(generator, (_SEEN,))
        histograms[value] = Histogram()
        histograms[value].add(np.abs(seen) if value in positive else seen)
    layers = [node.name for node in graph.nodes if node.op in LAYERS]
    means = {layer: _bells(generator, (_input_channels(graph, layer),)).astype(np.float64) for layer in layers}
    return Calibration(histograms, means, 1)


def _input_channels(graph: Graph, layer: str) -> int:
    node = graph.node(layer)
    shape = graph.types[node.inputs[0]].shape
    return int(shape[1] if node.op == "conv2d" else shape[-1])


def _never_negative(graph: Graph) -> set[str]:
    positive: set[str] = set()
    for node in graph.nodes:
        lo = node.attrs.get("lo")
        if (lo is not None and lo >= 0) or (node.op in _SELECTS and positive.issuperset(node.inputs)):
            positive.add(node.name)
    return positive
