"""The same network for another number of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowbit.errors import GraphError
from lowbit.graph import Graph, Node, verify
from lowbit.graph.shapes import Shape

__all__ = ["rebatch"]


def rebatch(graph: Graph, rows: int) -> Graph:
    """``graph``, float or integer, whose inputs and outputs have ``rows`` rows along axis 0 instead of their present number.

    Row k of an output depends on row k of the inputs alone, as before.  Raises GraphError, naming the node, where that does
    not hold: an input without a batch axis or of another length, an operation that moves, cuts, joins or sums along axis 0.
    """
    if rows < 1:
        raise GraphError(f"{graph.name}: {rows} rows; at least 1")
    lengths = {graph.types[name].shape[:1] for name in graph.inputs}
    if len(lengths) != 1 or lengths == {()}:
        shapes = ", ".join(f"{name} {graph.types[name].shape}" for name in graph.inputs)
        raise GraphError(f"{graph.name}: inputs share no batch axis: {shapes}")
    (batch,) = lengths.pop()
    if rows == batch:
        return graph
    types, nodes = dict(graph.types), []
    batched = set(graph.inputs)
    for name in graph.inputs:
        types[name] = replace(types[name], shape=(rows, *types[name].shape[1:]))
    for node in graph.nodes:
        if not batched & set(node.inputs):
            nodes.append(node)
            continue
        shape = graph.types[node.name].shape
        if node.op in _ELEMENTWISE:
            for name in set(node.inputs) - batched:
                if len(graph.types[name].shape) == len(shape) and (node.op == "concat" or graph.types[name].shape[0] != 1):
                    raise _mixed(node, f"reads {name!r}, whose rows are fixed")
        if not shape or shape[0] != batch or not _ROWWISE.get(node.op, _always)(graph, node):
            raise _mixed(node, f"gives {shape} from {[graph.types[name].shape for name in node.inputs]}")
        moved = (rows, *shape[1:])
        if "shape" in node.attrs:
            node = node.with_attrs(shape=moved)
        types[node.name] = replace(types[node.name], shape=moved)
        batched.add(node.name)
        nodes.append(node)
    for name in graph.outputs:
        if name not in batched:
            raise GraphError(f"{graph.name}: output {name!r} does not depend on the inputs; its rows are fixed")
    return verify(Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), types, graph.constants))


def _mixed(node: Node, what: str) -> GraphError:
    where = f" [{node.source}]" if node.source else ""
    return GraphError(
        f"{node.name} ({node.op}): {what}: it does not treat the rows of a batch alike, so their number is fixed{where}"
    )


_ELEMENTWISE = ("add", "sub", "mul", "concat")


def _always(graph: Graph, node: Node) -> bool:
    return True


def _shape(graph: Graph, node: Node) -> Shape:
    return graph.types[node.inputs[0]].shape


def _kept(graph: Graph, node: Node) -> bool:
    """The first axis of the operand is the batch, and stays."""
    return _shape(graph, node)[:1] == graph.types[node.name].shape[:1]


_ROWWISE: dict[str, Callable[[Graph, Node], bool]] = {
    "concat": lambda graph, node: node.attrs["axis"] != 0,
    "expand": _kept,
    "pad": lambda graph, node: node.attrs["before"][0] == node.attrs["after"][0] == 0,
    "permute": lambda graph, node: node.attrs["dims"][0] == 0,
    "reshape": _kept,
    "slice": lambda graph, node: _kept(graph, node) and node.attrs["starts"][0] == 0 and node.attrs["steps"][0] == 1,
    "softmax": lambda graph, node: node.attrs["axis"] % len(_shape(graph, node)) != 0,
}
"""Operation -> whether this one treats rows alike; those not named here always do."""
