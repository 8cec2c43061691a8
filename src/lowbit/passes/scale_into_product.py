"""A number behind a matrix product of activations becomes its factor."""

from __future__ import annotations

from lowbit.graph import Graph
from lowbit.passes.clamps import unclamped
from lowbit.passes.edit import Edit

__all__ = ["scale_into_product"]

_MOVES = ("permute", "reshape")


def scale_into_product(graph: Graph) -> Graph:
    """mul(move(matmul(x, y)), c) = move(matmul(x, y) with c times its factor), c one number, moves read once."""
    edit = Edit(graph)
    for node in graph.nodes:
        source = node.inputs[0] if node.op == "mul" and unclamped(node) else None
        if source is None or node.inputs[1] not in edit.constants or edit.constants[node.inputs[1]].size != 1:
            edit.add(node)
            continue
        name = source
        for _ in edit.steps("scale_into_product"):
            before = edit.producer(name, (*_MOVES, "matmul"))
            if before is None or before.op == "matmul":
                break
            name = before.inputs[0]
        if before is None or edit.shape(source) != edit.shape(node.name):
            edit.add(node)
            continue
        factor = before.attrs["factor"] * float(edit.constants[node.inputs[1]].reshape(()))
        edit.nodes[before.name] = before.with_attrs(factor=factor)
        edit.redirect(node.name, source)
    return edit.done()
