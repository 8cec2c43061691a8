"""Where every activation lives: NHWC, channels padded to the vector width, halo for its readers."""

from __future__ import annotations

from dataclasses import replace

from lowbit.graph import Graph, Node
from lowbit.graph.ops import channel_multiplier
from lowbit.kernels.layout import Layout, canonical_shape
from lowbit.lowering.stored import stored_form

__all__ = ["CHANNEL_MULTIPLE", "choose_layouts"]

CHANNEL_MULTIPLE = 16  # every kernel writes whole vectors of 16 channels


def _halo(graph: Graph, node: Node) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) pixels around the input that this convolution reads."""
    top, left, _, _ = node.attrs["padding"]
    h, w = graph.types[node.inputs[0]].shape[2:]
    oh, ow = graph.types[node.name].shape[2:]
    (kh, kw), (sh, sw), (dh, dw) = graph.types[node.inputs[1]].shape[2:], node.attrs["stride"], node.attrs["dilation"]
    bottom = (oh - 1) * sh + (kh - 1) * dh + 1 - h - top
    right = (ow - 1) * sw + (kw - 1) * dw + 1 - w - left
    return top, left, max(bottom, 0), max(right, 0)


def choose_layouts(graph: Graph, image_multiple: int = 1) -> dict[str, Layout]:
    """Layout of every activation that a kernel writes.

    The halo is the largest that any reading convolution needs, so that no kernel checks bounds.  An
    image that only dense convolutions read keeps its channels unpadded (3 instead of 16), or padded to ``image_multiple``.
    """
    users = graph.users()
    layouts: dict[str, Layout] = {}
    inputs = {node.name for node in graph.nodes if node.op == "quantize"} | set(graph.inputs)
    for name, tensor in graph.types.items():
        if name in graph.constants:
            continue
        n, h, w, c = canonical_shape(tensor.shape)
        convolutions = [u for u in users[name] if u.op == "conv2d" and u.inputs[0] == name]
        dense = [u for u in convolutions if channel_multiplier(graph, u) != 1 and name not in u.inputs[1:]]
        image = name in inputs and dense and len(dense) == len(users[name]) and name not in graph.outputs
        multiple = image_multiple if image else CHANNEL_MULTIPLE
        stride = -(-c // multiple) * multiple
        layout = Layout(n, h, w, c, stride, stored_form(name, tensor, graph.real).dtype)
        halos = [_halo(graph, u) for u in convolutions]
        if halos:
            top, left, bottom, right = (max(side) for side in zip(*halos, strict=True))
            layout = replace(layout, top=top, left=left, bottom=bottom, right=right)
        layouts[name] = layout
    return layouts
