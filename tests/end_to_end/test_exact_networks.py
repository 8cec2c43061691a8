"""The networks of the zoo, at small resolution, compiled: output equals the oracle, integer for integer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from torch import Tensor

from lowbit import zoo
from lowbit.compiler import trace
from lowbit.graph import Graph
from lowbit.zoo.samples import smooth_samples
from tests.end_to_end.check import agrees, build

SHAPES = {
    "cifar_resnet20": (3, 3, 32, 32),
    "densenet_block": (2, 3, 32, 32),
    "lenet5": (3, 1, 32, 32),
    "mlp_jsc": (3, 16),
    "mobilenet_v1": (1, 3, 64, 64),
    "mobilenet_v2": (1, 3, 64, 64),
    "resnet18": (3, 3, 48, 48),
    "resnet50": (1, 3, 64, 64),
    "squeezenet1_0": (1, 3, 64, 64),
    "vgg11_bn": (1, 3, 32, 32),
}
EVERY_WIDTH = ("cifar_resnet20", "lenet5", "mlp_jsc")
WIDTHS = ("1/int1", "2/int2", "3/int3", "4/int4", "5/int5", "6/int6", "7/int7", "8/int8", "16/int16", "w4a8", "w1a4")
RUNS = [(name, width) for name in SHAPES for width in (WIDTHS if name in EVERY_WIDTH else ("8/int8", "4/int4", "1/int1"))]


@lru_cache(maxsize=1)  # the runs of one network follow each other
def traced(name: str) -> tuple[Graph, Tensor]:
    example = smooth_samples(SHAPES[name], 7)
    return trace(zoo.build(name), example, name), example


@pytest.mark.parametrize(("name", "config"), RUNS)
def test_equals_the_oracle(name: str, config: str) -> None:
    graph, example = traced(name)
    # One configuration quantizes all layers alike, so that the first and last are met at every width too.
    options = {"first_last_bits": None, "weights": "b1", "activations": "u1"} if config == "1/int1" and name == "lenet5" else {}
    network = build(graph, example, **(options or {"config": config}))
    (y,) = agrees(network, example.numpy())
    assert np.isfinite(y).all()
    if config == "8/int8":  # alive: samples differ, and classes do
        assert y.std() > 0.01
        assert len(y) == 1 or np.abs(y[0] - y[1]).max() > 0.01
    network.close()
