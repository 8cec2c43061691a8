"""THE oracle: what an integer graph computes, integer for integer, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowbit.errors import GraphError, InputError
from lowbit.graph.ir import Graph, Node, TensorType
from lowbit.graph.ops import PASS_THROUGH, POSITIONS
from lowbit.graph.oracle import elementwise, layers, normalization, real, selection

__all__ = ["interpret"]

_Run = Callable[[Node, list[np.ndarray], list[TensorType], TensorType], np.ndarray]

_INTEGER: dict[str, _Run] = {
    "add": elementwise.binary,
    "affine": elementwise.affine,
    "argmax": selection.argmax,
    "avg_pool2d": selection.avg_pool2d,
    "clamp": elementwise.rescale,
    "concat": elementwise.concat,
    "conv2d": layers.layer,
    "dequantize": elementwise.from_integers,
    "expand": selection.expand,
    "interleave": selection.interleave,
    "linear": layers.layer,
    "matmul": layers.matmul,
    "max_pool2d": selection.max_pool2d,
    "maximum": elementwise.binary,
    "min_pool2d": selection.min_pool2d,
    "minimum": elementwise.binary,
    "mul": elementwise.binary,
    "normalize": normalization.normalize,
    "norm_pool2d": selection.norm_pool2d,
    "pad": selection.pad,
    "permute": selection.permute,
    "quantize": elementwise.to_quantized,
    "reshape": selection.reshape,
    "resize": selection.resize,
    "response_norm": normalization.response_norm,
    "slice": selection.slice_,
    "softmax": elementwise.softmax,
    "sub": elementwise.binary,
    "take": selection.take,
    "unary": elementwise.unary,
}
_FLOAT = (*PASS_THROUGH, *POSITIONS, "quantize")  # the same on float32 values, and moves on positions


def interpret(
    graph: Graph,
    inputs: Sequence[np.ndarray],
    observe: Callable[[str, np.ndarray], None] | None = None,
) -> list[np.ndarray]:
    """Runs an integer graph (as quantize_graph makes it) and returns its outputs.

    ``inputs``: float32 arrays of the graph's input shapes.  Quantized values are integer arrays in
    their type's dtype, others float32.  ``observe(name, value)`` is called for every node.  Sums of
    integer products are exact (graph/oracle/exact.py); every other step is one correctly rounded
    float32 operation, so the result is the same on every machine.  Values are dropped after their
    last use.  In a graph with float32 parts their sums are computed in float64 and rounded once, which kernels equal up to
    the order of their sums (``graph.is_exact`` says that there are none).  Raises InputError for wrong inputs, GraphError for a
    node with no integer meaning.
    """
    if len(inputs) != len(graph.inputs):
        raise InputError(f"{graph.name}: {len(inputs)} inputs given, takes {len(graph.inputs)}")
    values: dict[str, np.ndarray] = dict(graph.constants)
    for name, given in zip(graph.inputs, inputs, strict=True):
        value, shape = np.asarray(given), graph.types[name].shape
        if value.shape != tuple(shape):
            raise InputError(f"input {name!r} has shape {value.shape}, must be {tuple(shape)}")
        if value.dtype.kind not in "fiu":
            raise InputError(f"input {name!r} is {value.dtype}, must be float32")
        values[name] = value.astype(np.float32)
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, node in enumerate(graph.nodes):
        types = [graph.types[name] for name in node.inputs]
        table = real.REAL if types[0].quant is None and node.op not in _FLOAT and graph.is_integer else _INTEGER
        if node.op not in table or (types[0].quant is None and not graph.is_integer and node.op not in _FLOAT):
            raise GraphError(f"{node.name} ({node.op}): no integer meaning on {types[0]}; quantize the graph first")
        value = table[node.op](node, [values[name] for name in node.inputs], types, graph.types[node.name])
        values[node.name] = value
        if observe is not None:
            observe(node.name, value)
        for name in node.inputs:
            if last[name] == index and name not in graph.outputs:
                values.pop(name, None)
    return [values[name] for name in graph.outputs]
