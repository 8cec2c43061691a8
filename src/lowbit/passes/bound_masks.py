"""Attention's masks: -inf, and numbers as far below, brought to where they hide as well and leave the scores a grid."""

from __future__ import annotations

import numpy as np

from lowbit.errors import NumericsError
from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit

__all__ = ["bound_masks"]

_DEPTH = 1000.0
"""How far below the largest number of its row a mask reaches."""


def bound_masks(graph: Graph) -> Graph:
    """softmax(x + m) = softmax(x + max(m, max_row(m) - 1000)) in float32, for a constant m and scores x of which those hidden
    are not 896 above those shown: exp(-104) is 0 there.  Afterwards x + m has an integer grid, which -3.4e38 would take.

    The product of x with the same mask as 0 and 1, which chooses between x and -inf, goes.  Raises NumericsError where -inf is
    left: added to what no softmax reads, or to a whole row of one."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op == "softmax" and not node.attrs.get("log") and (scores := _scores(edit, node)) is not None:
            edit.nodes[scores.name] = _bounded(edit, scores, node.attrs["axis"] - len(edit.shape(node.name)))
    graph = edit.done()
    for node in graph.nodes:
        for name in node.inputs if node.op == "add" else ():
            if name in graph.constants and np.isneginf(graph.constants[name]).any():
                raise NumericsError(
                    f"{name} read by {node.name} [{node.source}] holds -inf; it may only hide some of the scores of a softmax, "
                    "not all of a row"
                )
    return graph


def _scores(edit: Edit, node: Node) -> Node | None:
    """The sum of which ``node`` takes the softmax, perhaps after the axes before its own were joined."""
    if (reshaped := edit.producer(node.inputs[0], ("reshape",))) is None:
        return edit.producer(node.inputs[0], ("add",))
    before, after = edit.shape(reshaped.inputs[0]), edit.shape(reshaped.name)
    alike = node.attrs["axis"] == len(after) - 1 and len(before) > 0 and before[-1] == after[-1]
    return edit.producer(reshaped.inputs[0], ("add",)) if alike else None


def _bounded(edit: Edit, scores: Node, axis: int) -> Node:
    """The sum with a mask that is bounded along ``axis``, counted from the last; the same node where there is nothing to do."""
    for x, name in (scores.inputs, scores.inputs[::-1]):
        mask = edit.constants.get(name)
        if mask is None or x in edit.constants or mask.ndim < -axis:
            continue
        least = mask.max(axis, keepdims=True) - np.float32(_DEPTH)
        if np.isneginf(least).any() or (mask >= least).all():
            continue
        hidden = mask <= least
        bounded = edit.constant(scores, "mask", np.maximum(mask, least))
        return Node(scores.name, "add", (_chosen(edit, x, hidden), bounded), scores.attrs, scores.source)
    return scores


def _chosen(edit: Edit, x: str, hidden: np.ndarray) -> str:
    """y where x is the product of y and a constant that is 1 but for 0 where ``hidden``."""
    if (product := edit.producer(x, ("mul",))) is not None:
        for y, name in (product.inputs, product.inputs[::-1]):
            keep = edit.constants.get(name)
            if keep is not None and y not in edit.constants and edit.shape(y) == edit.shape(x):
                shown, hides = np.broadcast_arrays(keep, hidden)
                if np.all((shown == 1) | ((shown == 0) & hides)):
                    return y
    return x
