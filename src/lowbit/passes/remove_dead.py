"""Nodes that no output depends on disappear."""

from __future__ import annotations

from lowbit.graph import Graph

__all__ = ["remove_dead"]


def remove_dead(graph: Graph) -> Graph:
    """Keeps what the outputs need, in order; graph inputs stay."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return graph.rebuild(reversed(kept))
