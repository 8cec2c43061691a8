"""What is done to each channel by itself moves ahead of operations that keep or spread channels, to where it can be folded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.passes.clamps import CLAMPED, unclamped
from lowbit.passes.edit import Edit

__all__ = ["hoist_channelwise"]


def hoist_channelwise(graph: Graph) -> Graph:
    """affine(interleave(concat(conv(x), ...))) = interleave(concat(affine(conv(x)), ...)), and clamp alike, as transposed
    convolutions leave them; also across reshapes that keep the first two axes, as one-dimensional convolutions do.

    Done only where all that then stands behind a convolution can be folded into it, and everything on the way has one reader."""
    edit = Edit(graph)
    for node in graph.nodes:
        edit.add(node)
        if node.op not in ("affine", "clamp"):
            continue
        chain: list[Node] = []
        name = node.inputs[0]
        for _ in edit.steps("hoist_channelwise"):
            move = edit.producer(name, ("concat", "interleave", "reshape"))
            if move is None or not _keeps_channels(edit, move):
                break
            chain.append(move)
            name = move.inputs[0]
            if move.op == "concat":
                break
        sources = chain[-1].inputs if chain and chain[-1].op == "concat" else (name,)
        wanted = any(move.op != "reshape" for move in chain) or (chain and node.op == "affine")
        if wanted and all(_takes(edit, source, node) for source in sources):
            _move(edit, node, chain, sources)
    return edit.done()


def _keeps_channels(edit: Edit, move: Node) -> bool:
    if move.op == "reshape":
        return edit.shape(move.inputs[0])[:2] == edit.shape(move.name)[:2]
    return move.op == "interleave" or (move.attrs["axis"] == 1 and len(set(move.inputs)) == len(move.inputs))


def _takes(edit: Edit, name: str, node: Node) -> bool:
    if node.op == "clamp":
        return edit.producer(name, (*CLAMPED, "clamp")) is not None
    layer = edit.producer(name, ("conv2d",))
    return layer is not None and unclamped(layer) and not layer.attrs.get("residual")


def _move(edit: Edit, node: Node, chain: list[Node], sources: tuple[str, ...]) -> None:
    node = edit.nodes[node.name]
    vectors = [edit.constants[parameter] for parameter in node.inputs[1:]]
    for move in chain:
        if move.op == "interleave":
            phases, groups = int(np.prod(move.attrs["phases"])), move.attrs["groups"]
            vectors = [np.tile(vector.reshape(groups, 1, -1), (1, phases, 1)).reshape(-1) for vector in vectors]
    for moved in (*chain, node):
        del edit.nodes[moved.name]
    ahead, channel = [], 0
    for source in sources:
        count = edit.shape(source)[1]
        name = edit.fresh(f"{node.name}.ahead", source)
        new = Node(name, node.op, (source,), node.attrs, node.source)
        roles = zip(("scale", "shift"), vectors, strict=False)
        parameters = [edit.constant(new, role, vector[channel : channel + count]) for role, vector in roles]
        edit.add(replace(new, inputs=(source, *parameters)))
        ahead.append(name)
        channel += count
    for index, move in enumerate(reversed(chain)):
        edit.add(replace(move, inputs=tuple(ahead) if index == 0 else move.inputs))
    edit.redirect(node.name, chain[0].name)
