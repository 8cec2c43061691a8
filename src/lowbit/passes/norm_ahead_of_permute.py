"""A normalisation over channels moves ahead of the permute that made them the last axis."""

from __future__ import annotations

from dataclasses import replace

from lowbit.graph import Graph, TensorType
from lowbit.passes.edit import Edit

__all__ = ["norm_ahead_of_permute"]


def norm_ahead_of_permute(graph: Graph) -> Graph:
    """normalize(permute(x)) = permute(normalize(x)) where the axis is x's channels: in memory they lie side by side, and the
    permute may meet another that undoes it (ConvNeXt).  x is NCHW."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        before = edit.nodes.get(edit.nodes[node.name].inputs[0]) if node.op == "normalize" else None
        if before is None or before.op != "permute" or node.attrs["spatial"] or len(edit.shape(node.name)) != 4:
            continue
        if before.attrs["dims"][node.attrs["axis"]] != 1:
            continue
        here = edit.nodes.pop(node.name)
        ahead = edit.fresh(f"{node.name}.ahead", node.name)
        edit.types[ahead] = TensorType(edit.shape(before.inputs[0]))
        edit.add(replace(here, name=ahead, inputs=(before.inputs[0], *here.inputs[1:]), attrs={**here.attrs, "axis": 1}))
        edit.add(replace(before, name=node.name, inputs=(ahead,)))
    return edit.done()
