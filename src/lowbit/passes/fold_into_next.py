"""Per-channel arithmetic ahead of a layer moves into its weights."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.clamps import unclamped
from lowbit.passes.edit import Edit

__all__ = ["fold_into_next"]


def fold_into_next(graph: Graph) -> Graph:
    """w (scale x + shift) + b = (w scale) x + (b + w shift), in float64, per input channel.

    The affine must have no other reader and no clamp.  A convolution that pads must not see a shift:
    its zeros would have to be -shift / scale.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        affine = edit.producer(node.inputs[0], ("affine",)) if node.op in ("conv2d", "linear") else None
        free = affine is not None and unclamped(affine) and node.inputs[1] not in graph.integers
        found = _parameters(edit, node, affine) if affine is not None and free else None
        edit.add(node)
        if affine is not None and found is not None:
            w, b = found
            layer = edit.nodes[node.name]
            inputs = (affine.inputs[0], edit.constant(layer, "weight", w), edit.constant(layer, "bias", b), *layer.inputs[3:])
            edit.nodes[node.name] = Node(layer.name, layer.op, inputs, layer.attrs, layer.source)
            del edit.nodes[affine.name]
    return edit.done()


def _parameters(edit: Edit, node: Node, affine: Node) -> tuple[np.ndarray, np.ndarray] | None:
    scale, shift, w, b = (edit.constants[name].astype(np.float64) for name in (*affine.inputs[1:], *node.inputs[1:3]))
    if node.op == "linear":
        if len(edit.shape(affine.name)) > 2:  # channels are axis 1, the layer reads the last axis
            if np.ptp(scale) or np.ptp(shift):
                return None
            scale, shift = (np.full(w.shape[1], value[0]) for value in (scale, shift))
        return w * scale, b + w @ shift
    if any(node.attrs["padding"]) and shift.any():
        return None
    groups = node.attrs["groups"]
    of_output = np.repeat(np.arange(groups), w.shape[0] // groups)  # group of each output channel
    scale, shift = (value.reshape(groups, -1)[of_output][:, :, None, None] for value in (scale, shift))
    return w * scale, b + (w * shift).sum((1, 2, 3))
