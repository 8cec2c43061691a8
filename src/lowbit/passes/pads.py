"""Padding that a layer or a pool can take in."""

from __future__ import annotations

from lowbit.graph import Node
from lowbit.passes.edit import Edit

__all__ = ["padding_of"]


def padding_of(edit: Edit, node: Node) -> Node | None:
    """The pad of rows and columns alone that computes the first input of ``node``, whoever else reads it."""
    pad = edit.nodes.get(node.inputs[0])
    if pad is None or pad.op != "pad" or any((*pad.attrs["before"][:2], *pad.attrs["after"][:2])):
        return None
    return pad
