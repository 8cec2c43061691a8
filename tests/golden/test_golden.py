"""Texts of every stage, compared with files: a change of what is generated shows up where it can be reviewed.

``pytest tests/golden --update-golden`` writes them anew.  Nothing in them depends on the machine: the target
is fixed, and weights and data are multiples of 1/256, whose sums float32 holds exactly in any order.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from lowbit.chosen_config import make_config
from lowbit.graph import Graph
from lowbit.graph.printer import print_graph
from lowbit.lowering import Program, lower, print_program
from lowbit.quantizer import quantized
from lowbit.reporting.kernel_texts import kernel_text
from lowbit.targets import TARGETS
from lowbit.tracer import trace
from tests import tiny
from tests.golden.texts import FOLDER, compare, of_this_tvm

TARGET = TARGETS["x86-64-v3"]


@pytest.fixture(scope="module")
def traced() -> tuple[Graph, np.ndarray]:
    model, numbers = tiny.module(), np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(numbers.integers(-64, 65, parameter.shape) / 256))
    x = (numbers.integers(-256, 257, (1, 3, 8, 8)) / 256).astype(np.float32)
    return trace(model, torch.from_numpy(x), "tiny"), x


@pytest.fixture(scope="module")
def integer(traced: tuple[Graph, np.ndarray]) -> Graph:
    graph, x = traced
    config = make_config("i4", "u8", observer="minmax", scale="power_of_two")
    assert config is not None
    return quantized(graph, config, [x])


@pytest.fixture(scope="module")
def program(integer: Graph) -> Program:
    return lower(integer, TARGET)


def test_float_graph(traced: tuple[Graph, np.ndarray], request: pytest.FixtureRequest) -> None:
    compare("graph.txt", print_graph(traced[0]), request)


def test_integer_graph(integer: Graph, request: pytest.FixtureRequest) -> None:
    compare("quantized.txt", print_graph(integer), request)


def test_program(program: Program, request: pytest.FixtureRequest) -> None:
    compare("program.txt", print_program(program, TARGET.name), request)


@of_this_tvm
@pytest.mark.parametrize("layer", ["x.quantize", "stem", "avg_pool2d", "head"])
def test_tensorir(program: Program, layer: str, request: pytest.FixtureRequest) -> None:
    spec = next(call.spec for call in program.calls if call.layer == layer)
    compare(f"{layer}.tir.txt", kernel_text(spec, TARGET, "tensorir"), request)


def test_nothing_of_a_machine() -> None:
    for path in FOLDER.iterdir():
        assert not re.search(r"(^|[\s\"'=])/\w", path.read_text()), f"{path.name} names a place on this machine"
