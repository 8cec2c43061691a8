"""Batch norm in evaluation is one multiplication and one addition per channel."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit

__all__ = ["batch_norm_to_affine"]


def batch_norm_to_affine(graph: Graph) -> Graph:
    """(x - mean) / sqrt(var + eps) * weight + bias = scale * x + shift, computed in float64:
    scale = weight / sqrt(var + eps), shift = bias - mean * scale.

    Raises NumericsError where var + eps <= 0.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        if node.op != "batch_norm":
            edit.add(node)
            continue
        weight, bias, mean, var = (edit.constants[name].astype(np.float64) for name in node.inputs[1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = weight / np.sqrt(var + node.attrs["eps"])
        parameters = edit.constant(node, "scale", scale), edit.constant(node, "shift", bias - mean * scale)
        edit.add(Node(node.name, "affine", (node.inputs[0], *parameters), {"lo": None, "hi": None}, node.source))
    return edit.done()
