"""The networks of the zoo, at small resolution, compiled: integers equal the oracle's, float32 is close to float64.

How close: a layer that sums K products is off by about sqrt(K) u relative to what it sums where rounding
errors have random signs (Higham and Mary 2019), u = 2^-24; independent errors of the layers add in
squares, which gives u sqrt(K1 + K2 + ...) times the largest output.  Ten times that leaves room for
cancellation inside the layers.  The bound without assumptions, in test_float.py, multiplies from layer to
layer and says nothing after twenty of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from lowbit import zoo
from lowbit.frontend import evaluate
from lowbit.graph import Graph
from lowbit.tracer import trace
from lowbit.zoo.samples import smooth_samples
from tests.end_to_end.check import agrees, build
from tests.share import ALL

SHAPES = {
    "cifar_resnet20": (3, 3, 32, 32),
    "densenet_block": (2, 3, 32, 32),
    "lenet5": (3, 1, 32, 32),
    "mlp_jsc": (3, 16),
    "mobilenet_v1": (1, 3, 48, 48),
    "mobilenet_v2": (1, 3, 48, 48),
    "resnet18": (2, 3, 40, 40),
    "resnet50": (1, 3, 48, 48),
    "squeezenet1_0": (1, 3, 48, 48),
    "vgg11_bn": (1, 3, 32, 32),
}
FEW = ("fp32", "8/int8", "4/int4", "1/int1")
EVERY = (*FEW, "2/int2", "3/int3", "5/int5", "6/int6", "7/int7", "16/int16", "w4a8", "w1a4", "all b1")
CONFIGS = {
    **dict.fromkeys(SHAPES, FEW),
    **dict.fromkeys(("cifar_resnet20", "lenet5", "mlp_jsc"), EVERY),
    "vgg11_bn": FEW if ALL else ("8/int8",),  # 130 million weights
}
RUNS = [(name, config) for name in SHAPES for config in CONFIGS[name]]
U = 2.0**-24


@lru_cache(maxsize=1)  # the runs of one network follow each other
def traced(name: str) -> tuple[Graph, Tensor, np.ndarray]:
    """The canonical graph, an example, and the output in float64."""
    example = smooth_samples(SHAPES[name], 7)
    graph = trace(zoo.build(name), example, name)
    return graph, example, evaluate(graph, [example], dtype=torch.float64)[0].numpy()


def _allowed(graph: Graph) -> float:
    """Error of float32 relative to the largest output."""
    terms = [np.prod(graph.types[node.inputs[1]].shape[1:]) for node in graph.nodes if node.op in ("conv2d", "linear")]
    return 10 * U * float(np.sqrt(np.sum(terms)))


@pytest.mark.parametrize(("name", "config"), RUNS)
def test_network(name: str, config: str) -> None:
    graph, example, exact = traced(name)
    if config == "all b1":  # the first and the last layer too
        network = build(graph, example, weights="b1", activations="u1", first_last_bits=None)
    else:
        network = build(graph, example, config=config)
    if config == "fp32":
        assert _allowed(graph) < 1e-3
        error = abs(network(example.numpy()) - exact).max() / abs(exact).max()
        assert error <= _allowed(graph), f"{error:.3g}, allowed {_allowed(graph):.3g}"
    else:
        (y,) = agrees(network, example.numpy())
        assert np.isfinite(y).all()
        if config == "8/int8":  # alive and near; seeded MobileNets lose 1.4 dB a layer at any width, 16 bits too
            cosine = (y * exact).sum() / np.sqrt((y * y).sum() * (exact * exact).sum())
            assert cosine > (0.85 if name.startswith("mobilenet") else 0.97), cosine
    network.close()
