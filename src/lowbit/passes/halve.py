"""float16 instead of float32 between the inputs and the outputs of a network.

before  y = conv2d(x, w, b)                      x, y, w in float32
after   y = half(float(conv2d(x, half(w), b)))   x, y, w in float16, sums and everything within an operation in float32
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import ConfigError, NumericsError
from lowbit.graph import Graph
from lowbit.graph.ops import BINARY, LAYERS

__all__ = ["halve"]

_LARGEST = 65504.0


def halve(graph: Graph) -> Graph:
    """The graph with ``real`` float16: weights of layers, and constants that are operands of products, sums and the like, are
    rounded to it; biases and factors of channels stay float32.

    Raises ConfigError for an integer graph, NumericsError for a constant beyond 65504."""
    if graph.is_integer:
        raise ConfigError(f"{graph.name} is quantized already and keeps its integers; fp16 is for float networks")
    constants = dict(graph.constants)
    for node in graph.nodes:
        held = node.inputs[1:2] if node.op in LAYERS else node.inputs if node.op in (*BINARY, "matmul") else ()
        for name in held:
            if name in constants:
                largest = float(np.abs(constants[name]).max(initial=0))
                if largest > _LARGEST:
                    raise NumericsError(
                        f"{node.name} ({node.op}, {node.source}): {name} holds {largest:.6g}; float16 ends at 65504"
                    )
                constants[name] = constants[name].astype(np.float16).astype(np.float32)
    return replace(graph, constants=constants, real="float16")
