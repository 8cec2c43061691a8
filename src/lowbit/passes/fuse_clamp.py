"""A clamp becomes part of the operation before it."""

from __future__ import annotations

from lowbit.graph import Graph
from lowbit.passes.clamps import CLAMPED, bounds, compose
from lowbit.passes.edit import Edit

__all__ = ["fuse_clamp"]


def fuse_clamp(graph: Graph) -> Graph:
    """clamp(op(x)) = op(x) with attrs lo, hi, where nothing else reads op(x); clamps of clamps merge."""
    edit = Edit(graph)
    for node in graph.nodes:
        before = edit.producer(node.inputs[0], (*CLAMPED, "clamp")) if node.op == "clamp" else None
        if before is None:
            edit.add(node)
            continue
        lo, hi = compose(bounds(before), bounds(node))
        edit.nodes[before.name] = before.with_attrs(lo=lo, hi=hi)
        edit.redirect(node.name, before.name)
    return edit.done()
