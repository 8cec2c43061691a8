"""Zero padding moves into the convolution behind it."""

from __future__ import annotations

from lowbit.graph import Graph, Node
from lowbit.passes.edit import Edit
from lowbit.passes.pads import padding_of

__all__ = ["merge_pad"]


def merge_pad(graph: Graph) -> Graph:
    """conv2d(pad(x, 0)) = conv2d(x) with padding (top, left, bottom, right) grown by the pad's.

    Only rows and columns may be padded.  Pools are left alone: their windows would count the zeros.
    """
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op != "conv2d":
            continue
        for _ in edit.steps("merge_pad"):
            conv = edit.nodes[node.name]
            pad = padding_of(edit, conv)
            if pad is None or pad.attrs["value"] != 0:
                break
            extra = (*pad.attrs["before"][2:], *pad.attrs["after"][2:])
            padding = tuple(old + new for old, new in zip(conv.attrs["padding"], extra, strict=True))
            inputs = (pad.inputs[0], *conv.inputs[1:])
            edit.nodes[node.name] = Node(conv.name, conv.op, inputs, {**conv.attrs, "padding": padding}, conv.source)
    return edit.done()
