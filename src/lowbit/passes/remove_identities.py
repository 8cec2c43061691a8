"""Operations that return their input disappear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.clamps import unclamped
from lowbit.passes.edit import Edit

__all__ = ["remove_identities"]


def _same_shape(edit: Edit, node: Node) -> bool:
    return edit.shape(node.name) == edit.shape(node.inputs[0])


def _is_one(ranges: tuple[tuple[int, int], ...], size: int) -> bool:
    return ranges == tuple((index, index + 1) for index in range(size))


def _unit_windows(edit: Edit, node: Node) -> bool:
    height, width = edit.shape(node.inputs[0])[2:]
    unit = _is_one(node.attrs["windows"], height) and _is_one(node.attrs["columns"], width)
    return unit and set(node.attrs.get("divisors", (1,))) == {1}


def _unit_affine(edit: Edit, node: Node) -> bool:
    scale, shift = (edit.constants[name] for name in node.inputs[1:])
    return unclamped(node) and bool(np.all(scale == 1) and np.all(shift == 0))


def _every_index(edit: Edit, node: Node) -> bool:
    shape = edit.shape(node.inputs[0])
    return all(chosen in (None, tuple(range(size))) for chosen, size in zip(node.attrs["indices"], shape, strict=True))


_IDENTITY: dict[str, Callable[[Edit, Node], bool]] = {
    "expand": _same_shape,
    "reshape": _same_shape,
    "slice": _same_shape,
    "take": _every_index,
    "pad": _same_shape,
    "permute": lambda edit, node: list(node.attrs["dims"]) == sorted(node.attrs["dims"]),
    "concat": lambda edit, node: len(node.inputs) == 1,
    "clamp": lambda edit, node: unclamped(node),
    "max_pool2d": _unit_windows,
    "min_pool2d": _unit_windows,
    "avg_pool2d": _unit_windows,
    "affine": _unit_affine,
}


def remove_identities(graph: Graph) -> Graph:
    """y = op(x) = x: readers of y read x."""
    edit = Edit(graph)
    for node in graph.nodes:
        if node.op in _IDENTITY and _IDENTITY[node.op](edit, node):
            edit.redirect(node.name, node.inputs[0])
        else:
            edit.add(node)
    return edit.done()
