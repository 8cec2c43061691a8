"""The smallest of a window, written with the largest: ONNX has no other way."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit

__all__ = ["find_min_pools"]


def find_min_pools(graph: Graph) -> Graph:
    """-max_pool2d(-x) = min_pool2d(x), which selects and keeps the integers that it reads."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if (negated := _negated(edit, node)) is None:
            continue
        pool = edit.producer(negated, ("max_pool2d",))
        inner = None if pool is None else edit.producer(pool.inputs[0], ("mul",))
        x = None if inner is None else _negated(edit, inner)
        if pool is not None and x is not None:
            edit.nodes[node.name] = Node(node.name, "min_pool2d", (x,), pool.attrs, node.source)
    return edit.done()


def _negated(edit: Edit, node: Node) -> str | None:
    """x where ``node`` is -x of the same shape."""
    if node.op != "mul":
        return None
    for x, factor in (node.inputs, node.inputs[::-1]):
        constant = edit.constants.get(factor)
        if constant is not None and x not in edit.constants and np.all(constant == -1):
            return x if edit.shape(x) == edit.shape(node.name) else None
    return None
