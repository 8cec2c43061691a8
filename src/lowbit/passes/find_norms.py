"""Normalisations that are written out become one operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit
from lowbit.passes.reductions import Look, reduced_axes

__all__ = ["find_norms"]


@dataclass(frozen=True)
class _Norm:
    """What a node turned out to be: a normalisation of ``x`` over ``axes``."""

    x: str
    axes: tuple[int, ...]
    centred: bool
    mean: bool
    eps: float = 0.0
    floor: float = 0.0


def find_norms(graph: Graph) -> Graph:
    """(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps), the same without the mean, and x / max(|x|, floor) (F.normalize): as
    one ``normalize``, whose integers lose nothing between its steps.

    Over one axis, or of NCHW over height and width, or these and the channels."""
    look, edit = Look(graph), Edit(graph)
    for node in graph.nodes:
        found = _found(look, node)
        attrs = None if found is None else _attrs(look.shape(found.x), found.axes)
        if found is None or attrs is None:
            edit.add(node)
            continue
        channels = look.shape(found.x)[attrs["axis"]]
        constants = (edit.constant(node, "weight", np.ones(channels)), edit.constant(node, "bias", np.zeros(channels)))
        how = {"centred": found.centred, "mean": found.mean, "eps": found.eps, "floor": found.floor}
        edit.add(Node(node.name, "normalize", (found.x, *constants), {**attrs, **how}, node.source))
    return edit.done()


def _attrs(shape: tuple[int, ...], axes: tuple[int, ...]) -> Mapping[str, int | bool] | None:
    if len(axes) == 1:
        return {"axis": axes[0], "groups": 1, "spatial": False}
    if len(shape) == 4 and axes in ((2, 3), (1, 2, 3)):
        return {"axis": 1, "groups": shape[1] if axes == (2, 3) else 1, "spatial": True}
    return None


def _found(look: Look, node: Node) -> _Norm | None:
    """``node`` as a product of a value and the reciprocal of a length or a deviation of it."""
    if node.op != "mul" or len({*node.inputs} & {*look.graph.constants}):
        return None
    for x, factor in (node.inputs, node.inputs[::-1]):
        if look.shape(x) != look.shape(node.name):
            continue
        inverse = look.node(look.behind(factor, "expand"), "unary")
        if inverse is None:
            continue
        below = inverse.inputs[0]
        if inverse.attrs["fn"] == "rsqrt":
            found = _deviation(look, x, below)
        elif inverse.attrs["fn"] == "reciprocal":
            below = look.behind(below, "expand")
            root = look.node(below, "unary")
            deviates = root is not None and root.attrs["fn"] == "sqrt"
            found = _deviation(look, x, root.inputs[0]) if root is not None and deviates else _length(look, x, below)
        else:
            found = None
        if found is not None:
            return found
    return None


def _length(look: Look, x: str, name: str) -> _Norm | None:
    """max(|x|, floor)"""
    floor, clamp = 0.0, look.node(name, "clamp")
    if clamp is not None:
        if clamp.attrs["hi"] is not None or clamp.attrs["lo"] is None or clamp.attrs["lo"] <= 0:
            return None
        floor, name = float(clamp.attrs["lo"]), clamp.inputs[0]
    axes = reduced_axes(look, name, x, "norm_pool2d")
    return None if not axes or not floor else _Norm(x, axes, False, False, floor=floor)


def _deviation(look: Look, c: str, name: str) -> _Norm | None:
    """mean(c^2) + eps, c perhaps less its mean"""
    total = look.node(look.behind(name, "expand"), "add")
    eps = None if total is None else look.number(total.inputs[1])
    if total is None or eps is None or eps <= 0:
        return None
    pool = look.node(look.behind(total.inputs[0], "reshape"), "avg_pool2d")
    square = None if pool is None else look.node(look.behind(pool.inputs[0], "permute", "reshape"), "mul")
    if square is None or not look.same(*square.inputs) or not look.same(square.inputs[0], c):
        return None
    axes = reduced_axes(look, total.inputs[0], square.name, "avg_pool2d")
    if not axes:
        return None
    difference = look.node(c, "sub")
    if difference is not None:
        x, mean = difference.inputs[0], look.behind(difference.inputs[1], "expand")
        if reduced_axes(look, mean, x, "avg_pool2d") == axes:
            return _Norm(x, axes, True, True, eps=eps)
    return _Norm(c, axes, False, True, eps=eps)
