"""Per-channel arithmetic behind a layer moves into its weights."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.channelwise import scale_and_shift
from lowbit.passes.clamps import unclamped
from lowbit.passes.edit import Edit

__all__ = ["fold_into_previous"]


def fold_into_previous(graph: Graph) -> Graph:
    """scale * (w x + b) + shift = (scale w) x + (scale b + shift), in float64, per output channel.

    The layer must have no other reader, no clamp, no residual, and no weights that are somebody's integers; affine behind
    affine or a normalisation merges alike.  The layer keeps its name and takes the clamp of what is folded into it.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        layer = edit.producer(node.inputs[0], ("conv2d", "linear", "affine", "normalize"))
        if layer is None or not unclamped(layer) or layer.attrs.get("residual") or layer.inputs[1] in graph.integers:
            edit.add(node)
            continue
        last = len(edit.shape(layer.name)) - 1
        axis = last if layer.op == "linear" else layer.attrs["axis"] if layer.op == "normalize" else 1
        found = scale_and_shift(edit, node, axis)
        if found is None:
            edit.add(node)
            continue
        edit.nodes[layer.name] = _folded(edit, layer, node, *found)
        edit.redirect(node.name, layer.name)
    return edit.done()


def _folded(edit: Edit, layer: Node, node: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    x, weight, bias = layer.inputs
    w, b = (edit.constants[name].astype(np.float64) for name in (weight, bias))
    w = w * scale.reshape((-1,) + (1,) * (w.ndim - 1))
    roles = ("scale", "shift") if layer.op == "affine" else ("weight", "bias")
    parameters = [edit.constant(layer, role, value) for role, value in zip(roles, (w, b * scale + shift), strict=True)]
    return Node(
        layer.name, layer.op, (x, *parameters), {**layer.attrs, "lo": node.attrs["lo"], "hi": node.attrs["hi"]}, layer.source
    )
