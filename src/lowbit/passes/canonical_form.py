"""Every layer gets a bias, every clampable operation its bounds."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph
from lowbit.passes.clamps import CLAMPED, bounds
from lowbit.passes.edit import Edit

__all__ = ["canonical_form"]


def canonical_form(graph: Graph) -> Graph:
    """conv2d and linear read (x, weight, bias), zeros where there was none; lo and hi are present."""
    edit = Edit(graph)
    for node in graph.nodes:
        if node.op in CLAMPED:
            lo, hi = bounds(node)
            node = node.with_attrs(lo=lo, hi=hi)
        edit.add(node)
        if node.op in ("conv2d", "linear") and len(node.inputs) == 2:
            node = edit.nodes[node.name]
            bias = edit.constant(node, "bias", np.zeros(edit.shape(node.inputs[1])[0]))
            edit.nodes[node.name] = type(node)(node.name, node.op, (*node.inputs, bias), node.attrs, node.source)
    return edit.done()
