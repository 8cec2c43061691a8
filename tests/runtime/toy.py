"""Compiled networks with hand-written kernels and a graph that says the same."""

from __future__ import annotations

import numpy as np

from lowbit.backend.cpu import CPU
from lowbit.graph import Graph
from lowbit.graph.ir import Node, TensorType
from lowbit.lowering.program import Program
from lowbit.runtime.assemble import assemble
from lowbit.runtime.compiled import Compiled
from tests.backend.toy import TARGET, linear_network, objects

__all__ = ["toy_compiled", "toy_graph", "toy_program"]


def toy_program(**options: object) -> tuple[Program, np.ndarray]:
    return linear_network(**options)  # type: ignore[arg-type]


def toy_graph(program: Program, values: np.ndarray) -> Graph:
    """The weights of the first layer under the node that owns them (its arithmetic is not the point here)."""
    types = {
        "x": TensorType(program.input_shapes[0]),
        "w": TensorType(values.shape, "int8"),
        "y": TensorType(program.output_shapes[0]),
    }
    node = Node("y", "linear", ("x", "w"), {"lo": None, "hi": 6.0}, "net.py:3")
    return Graph(program.name, ("x",), ("y",), (node,), types, {"w": values.astype(np.int8)})


def toy_compiled(threads: int | None = 2, **options: object) -> tuple[Compiled, np.ndarray]:
    """A network and its weights."""
    program, values = toy_program(**options)
    kernels = objects(program)
    linked = CPU.link(program, kernels, TARGET)
    return assemble(toy_graph(program, values), program, kernels, linked, TARGET, threads, {"link": 0.1}), values
