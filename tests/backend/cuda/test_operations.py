"""Networks of other operations than convolutions, every width, and batches, on the emulated driver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lowbit
from lowbit.backend.cuda.backend import CUDA
from lowbit.backend.cuda.object import read_object
from lowbit.emulate.cuda.driver import emulated_gpu, prepare_texts
from lowbit.graph import Graph
from lowbit.graph.interpreter import interpret
from lowbit.lowering import lower
from lowbit.runtime.assemble import assemble
from lowbit.runtime.compiled import Compiled
from lowbit.targets import TARGETS
from tests import tiny

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated driver is built with g++")


@pytest.fixture(scope="module", autouse=True)
def driver() -> Iterator[None]:
    with emulated_gpu("8.6", "9.0", memory_bytes=1 << 30):
        yield


def on_gpu(graph: Graph, target: str = "cuda-sm80") -> Compiled:
    """The graph's network, its kernels compiled for the emulation all at once."""
    machine = TARGETS[target]
    program = lower(graph, machine)
    kernels = CUDA.compile(program.specs, machine)
    prepare_texts(read_object(kernel).text for kernel in kernels.values())
    return assemble(graph, program, kernels, CUDA.link(program, kernels, machine), machine, 1)


def check(graph: Graph, *inputs: np.ndarray, target: str = "cuda-sm80") -> None:
    """Every output equals the interpreter's."""
    network = on_gpu(graph, target)
    for given in (inputs, [10 * x for x in inputs]):
        for got, want in zip(network.outputs(*given), interpret(graph, list(given)), strict=True):
            np.testing.assert_array_equal(got, want)
    network.close()


def integers(model: Any, example: Any, config: str) -> Graph:
    """The integer graph, as a CPU has it."""
    return lowbit.compile(model, example, config=config, calibration=[example], progress=False).graph()


class Mixed(nn.Module):
    """Attention, a layer norm, an enlarged picture, pools, concatenation, positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.norm = nn.LayerNorm(16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.nn.functional.gelu(self.stem(x))
        x = self.depthwise(x) * torch.sigmoid(x)
        rows = self.norm(x.flatten(2).transpose(1, 2))
        scores = torch.softmax(self.query(rows) @ self.key(rows).transpose(1, 2) / 4, -1)
        seen = (scores @ self.value(rows)).transpose(1, 2).reshape(x.shape)
        both = torch.cat([x, seen], 1)
        both = torch.nn.functional.interpolate(torch.max_pool2d(both, 2), scale_factor=2.0, mode="bilinear")
        return self.head(both), both.mean((2, 3)).argmax(1)


@pytest.mark.parametrize("config", ["8/int8", "16/int16"])
def test_other_operations(config: str) -> None:
    model, example = Mixed().eval(), torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    check(integers(model, example, config), example.numpy())


@pytest.mark.parametrize("config", ["w2a3", "w3a5", "w5a6", "w6a7", "w7a8"])
def test_other_widths(config: str) -> None:
    model, example = tiny.network()
    check(integers(model, example, config), example.numpy())


def test_another_target_and_a_batch() -> None:
    """GPU 0 is of 8.6: it is given PTX of an older target."""
    model, _ = tiny.network()
    example = torch.randn((3, 3, 8, 8), generator=torch.Generator().manual_seed(5))
    check(integers(model, example, "4/int4"), example.numpy(), target="cuda-sm75")
