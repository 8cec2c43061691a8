"""The addition behind a layer becomes part of it."""

from __future__ import annotations

from lowbit.graph import Graph, Node
from lowbit.passes.clamps import unclamped
from lowbit.passes.edit import Edit

__all__ = ["fuse_residual"]


def fuse_residual(graph: Graph) -> Graph:
    """clamp(layer(x) + r) -> one node with attr residual and inputs (x, weight, bias, r).

    r must have the layer's shape; the layer must have no other reader, no clamp and no residual yet.
    Of two such layers the later one takes it.  The layer moves to the place of the addition, where
    both operands are known to be computed.
    """
    edit = Edit(graph)
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        layer = _layer(edit, node, order) if node.op == "add" else None
        if layer is None:
            edit.add(node)
            continue
        residual = next(name for name in edit.inputs(node) if name != layer.name)
        attrs = {**layer.attrs, "residual": True, "lo": node.attrs["lo"], "hi": node.attrs["hi"]}
        del edit.nodes[layer.name]
        edit.add(Node(layer.name, layer.op, (*layer.inputs, residual), attrs, layer.source))
        edit.redirect(node.name, layer.name)
    return edit.done()


def _layer(edit: Edit, node: Node, order: dict[str, int]) -> Node | None:
    if any(name in edit.constants or edit.shape(name) != edit.shape(node.name) for name in node.inputs):
        return None
    layers = [edit.producer(name, ("conv2d", "linear")) for name in node.inputs]
    free = [layer for layer in layers if layer is not None and unclamped(layer) and not layer.attrs.get("residual")]
    return max(free, key=lambda layer: order[layer.name], default=None)
