"""Which nodes multiply and add one constant per channel."""

from __future__ import annotations

import numpy as np

from lowbit.graph import Node
from lowbit.passes.edit import Edit

__all__ = ["scale_and_shift"]


def scale_and_shift(edit: Edit, node: Node, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, shift), float64 of shape (C,), such that node(x) = scale * x + shift along ``axis``.

    None where the node is something else: two activations, or a constant that varies along other
    axes or makes the result larger than x.
    """
    shape = edit.shape(node.inputs[0])
    if node.op == "affine" and axis == 1:
        scale, shift = (edit.constants[name].astype(np.float64) for name in node.inputs[1:])
        return scale, shift
    if node.op not in ("add", "sub", "mul") or node.inputs[1] not in edit.constants or edit.shape(node.name) != shape:
        return None
    value = edit.constants[node.inputs[1]].astype(np.float64)
    value = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(size != 1 for index, size in enumerate(value.shape) if index != axis):
        return None
    vector = np.broadcast_to(value.reshape(-1), (shape[axis],))
    if node.op == "mul":
        return vector, np.zeros(shape[axis])
    return np.ones(shape[axis]), vector if node.op == "add" else -vector
