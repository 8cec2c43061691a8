"""Arithmetic with one constant per channel becomes affine."""

from __future__ import annotations

from lowbit.graph import Graph, Node
from lowbit.passes.channelwise import scale_and_shift
from lowbit.passes.clamps import bounds
from lowbit.passes.edit import Edit

__all__ = ["constants_to_affine"]


def constants_to_affine(graph: Graph) -> Graph:
    """x + c, x - c, x * c with c a number or one value per channel (axis 1) -> scale[c] * x + shift[c]."""
    edit = Edit(graph)
    for node in graph.nodes:
        found = None
        if node.op in ("add", "sub", "mul") and len(edit.shape(node.name)) >= 2:
            found = scale_and_shift(edit, node, 1)
        if found is not None:
            parameters = edit.constant(node, "scale", found[0]), edit.constant(node, "shift", found[1])
            lo, hi = bounds(node)
            node = Node(node.name, "affine", (node.inputs[0], *parameters), {"lo": lo, "hi": hi}, node.source)
        edit.add(node)
    return edit.done()
