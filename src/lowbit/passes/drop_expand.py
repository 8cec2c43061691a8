"""Arithmetic broadcasts by itself: its operands need not be expanded first."""

from __future__ import annotations

from lowbit.graph import Graph, Node
from lowbit.graph.ops import BINARY
from lowbit.passes.edit import Edit

__all__ = ["drop_expand"]


def drop_expand(graph: Graph) -> Graph:
    """add(expand(x), y) = add(x, y), and so for every binary operation, where x and y broadcast to the same shape."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op not in BINARY:
            continue
        for index in range(2):
            inputs = list(edit.nodes[node.name].inputs)
            source = edit.nodes.get(inputs[index])
            if source is None or source.op != "expand":
                continue
            inputs[index] = source.inputs[0]
            x, y = (edit.shape(name) for name in inputs)
            if len(x) == len(y) and tuple(map(max, zip(x, y, strict=True))) == edit.shape(node.name):
                edit.nodes[node.name] = Node(node.name, node.op, tuple(inputs), node.attrs, node.source)
    return edit.done()
