"""Neighbouring expansions, reshapes, permutations, slices and selections become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit

__all__ = ["merge_moves"]

Attrs = Mapping[str, Any]


def _permutes(inner: Attrs, outer: Attrs) -> dict[str, Any]:
    return {"dims": tuple(inner["dims"][axis] for axis in outer["dims"])}


def _slices(inner: Attrs, outer: Attrs) -> dict[str, Any]:
    """Element k of the outer slice is element start + k*step of the inner one."""
    pairs = zip(inner["starts"], inner["steps"], outer["starts"], strict=True)
    steps = tuple(a * b for a, b in zip(inner["steps"], outer["steps"], strict=True))
    return {"starts": tuple(start + step * index for start, step, index in pairs), "steps": steps}


def _takes(inner: Attrs, outer: Attrs) -> dict[str, Any]:
    """Element k of the outer list is element inner[outer[k]]."""
    pairs = zip(inner["indices"], outer["indices"], strict=True)
    return {"indices": tuple(a if b is None else b if a is None else tuple(a[k] for k in b) for a, b in pairs)}


_MERGE: dict[str, Callable[[Attrs, Attrs], dict[str, Any]]] = {
    "expand": lambda inner, outer: dict(outer),
    "reshape": lambda inner, outer: dict(outer),
    "permute": _permutes,
    "slice": _slices,
    "take": _takes,
}


def merge_moves(graph: Graph) -> Graph:
    """op(op(x)) = op(x); the inner one stays for its other readers, and is dead without them."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        inner = edit.nodes.get(edit.nodes[node.name].inputs[0]) if node.op in _MERGE else None
        if inner is not None and inner.op == node.op:
            attrs = _MERGE[node.op](inner.attrs, node.attrs)
            edit.nodes[node.name] = Node(node.name, node.op, inner.inputs, attrs, node.source)
    return edit.done()
