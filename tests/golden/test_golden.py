"""Texts of every stage, compared with files: a change of what is generated shows up where it can be reviewed.

``pytest tests/golden --update-golden`` writes them anew.  Nothing in them depends on the machine: the target
is fixed, and weights and data are multiples of 1/256, whose sums float32 holds exactly in any order.
"""

from __future__ import annotations

import difflib
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch

from lowbit.compiler import make_config, quantize, trace
from lowbit.graph import Graph
from lowbit.graph.printer import print_graph
from lowbit.lowering import Program, lower, print_program
from lowbit.reporting.kernel_texts import kernel_text
from lowbit.targets import TARGETS
from tests import tiny

FOLDER = Path(__file__).parent / "expected"
TARGET = TARGETS["x86-64-v3"]
TVM = "0.27"  # whose way of writing TensorIR the files have


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
    return quantize(graph, config, [x])


@pytest.fixture(scope="module")
def program(integer: Graph) -> Program:
    return lower(integer, TARGET)


def _compare(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / name
    text = "".join(f"{line.rstrip()}\n" for line in text.rstrip("\n").splitlines())
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.is_file(), f"{path.name} is missing; pytest tests/golden --update-golden writes it"
    wanted = path.read_text()
    diff = "".join(difflib.unified_diff(wanted.splitlines(True), text.splitlines(True), "expected", "now", n=1))
    assert text == wanted, f"{name} changed; if it should, run pytest tests/golden --update-golden\n{diff}"


def test_float_graph(traced: tuple[Graph, np.ndarray], request: pytest.FixtureRequest) -> None:
    _compare("graph.txt", print_graph(traced[0]), request)


def test_integer_graph(integer: Graph, request: pytest.FixtureRequest) -> None:
    _compare("quantized.txt", print_graph(integer), request)


def test_program(program: Program, request: pytest.FixtureRequest) -> None:
    _compare("program.txt", print_program(program, TARGET.name), request)


def _tvm() -> str:
    for package in ("apache-tvm", "tvm"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "none"


@pytest.mark.skipif(not _tvm().startswith(f"{TVM}."), reason=f"the files are written by TVM {TVM}")
@pytest.mark.parametrize("layer", ["x.quantize", "stem", "avg_pool2d", "head"])
def test_tensorir(program: Program, layer: str, request: pytest.FixtureRequest) -> None:
    spec = next(call.spec for call in program.calls if call.layer == layer)
    _compare(f"{layer}.tir.txt", kernel_text(spec, TARGET, "tensorir"), request)


def test_nothing_of_a_machine() -> None:
    for path in FOLDER.iterdir():
        assert not re.search(r"(^|[\s\"'=])/\w", path.read_text()), f"{path.name} names a place on this machine"
