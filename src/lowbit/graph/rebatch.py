"""The same network for another number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lowbit.errors import GraphError
from lowbit.graph.ir import Graph, Node, TensorType
from lowbit.graph.ops import BINARY
from lowbit.graph.verify import verify

__all__ = ["mixes_rows", "rebatch"]

_SHAPED = ("expand", "reshape")  # operations whose attribute ``shape`` is that of the result
_ALONG_AN_AXIS = ("argmax", "concat", "normalize", "softmax")


def mixes_rows(graph: Graph) -> str:
    """Why row k of the outputs does not follow from row k of the inputs alone, the same way for every k; empty if it does.

    Rows lie along axis 0.  Sufficient, not necessary: a reshape that moves rows and another that moves them back are not seen."""
    first = {graph.types[name].shape[:1] for name in (*graph.inputs, *graph.outputs, *(node.name for node in graph.nodes))}
    if len(first) != 1 or first == {()}:
        return "inputs, values and outputs have no common first axis"
    for node in graph.nodes:
        if _mixes(graph, node):
            return f"{node.name} ({node.op}) works across the first axis"
    return ""


def _mixes(graph: Graph, node: Node) -> bool:
    """Of one operation whose inputs and result have the same first extent."""
    attrs, shape = node.attrs, graph.types[node.name].shape
    if any(name in graph.constants for name in node.inputs) and node.op in (*BINARY, "concat", "matmul"):
        constants = [graph.types[name].shape for name in node.inputs if name in graph.constants]
        if any(len(c) == len(shape) and (c[0] != 1 or node.op in ("concat", "matmul")) for c in constants):
            return True
    read = [graph.types[name].shape for name in node.inputs if name not in graph.constants]
    if node.inputs[0] in graph.constants or ({len(given) for given in read} != {len(shape)} and node.op in BINARY):
        return True
    if node.op in _ALONG_AN_AXIS:
        return int(attrs["axis"]) == 0
    if node.op == "permute":
        return attrs["dims"][0] != 0
    if node.op == "slice":
        return attrs["starts"][0] != 0 or attrs["steps"][0] != 1
    if node.op == "take":
        return attrs["indices"][0] is not None
    if node.op == "pad":
        return bool(attrs["before"][0] or attrs["after"][0])
    return node.op == "linear" and len(shape) < 2


def rebatch(graph: Graph, rows: int) -> Graph:
    """The graph, float or integer, with ``rows`` rows along axis 0 of its inputs.  Raises GraphError where rows meet."""
    if why := mixes_rows(graph):
        raise GraphError(f"{graph.name}: has no other batch size: {why}")
    if graph.types[graph.inputs[0]].shape[0] == rows:
        return graph
    types: Mapping[str, TensorType] = {
        name: tensor if name in graph.constants else replace(tensor, shape=(rows, *tensor.shape[1:]))
        for name, tensor in graph.types.items()
    }
    nodes = [node.with_attrs(shape=(rows, *node.attrs["shape"][1:])) if node.op in _SHAPED else node for node in graph.nodes]
    return verify(replace(graph, nodes=tuple(nodes), types=types))
