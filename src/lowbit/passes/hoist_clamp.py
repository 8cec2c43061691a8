"""A clamp moves ahead of operations that only select values, to where it can be fused."""

from __future__ import annotations

from dataclasses import replace

from lowbit.graph import Graph, Node
from lowbit.passes.clamps import CLAMPED
from lowbit.passes.edit import Edit

__all__ = ["hoist_clamp"]

_SELECTING = ("expand", "interleave", "max_pool2d", "min_pool2d", "permute", "reshape", "slice", "take")


def hoist_clamp(graph: Graph) -> Graph:
    """clamp(select(x)) = select(clamp(x)): max is monotone, the others move values.

    Done only where x is then computed by an operation that takes the clamp in (another clamp also does),
    and everything on the way has one reader; else the clamp would touch more elements than before.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op != "clamp":
            continue
        chain: list[Node] = []
        name = node.inputs[0]
        for _ in edit.steps("hoist_clamp"):
            if (move := edit.producer(name, _SELECTING)) is None:
                break
            chain.append(move)
            name = move.inputs[0]
        if not chain or edit.producer(name, (*CLAMPED, "clamp")) is None:
            continue
        for moved in (*chain, node):
            del edit.nodes[moved.name]
        ahead = edit.fresh(f"{node.name}.ahead", name)
        edit.add(replace(node, name=ahead, inputs=(name,)))
        for index, move in enumerate(reversed(chain)):
            edit.add(replace(move, inputs=(ahead if index == 0 else move.inputs[0],)))
        edit.redirect(node.name, chain[0].name)
    return edit.done()
