"""Parts of a network between which one value passes."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS

__all__ = ["Block", "blocks_of", "live_values"]


@dataclass(frozen=True)
class Block:
    """``nodes`` in order; ``reads``: values from before them; ``gives``: values that later blocks, or the outputs, read."""

    nodes: tuple[Node, ...]
    reads: tuple[str, ...]
    gives: tuple[str, ...]

    @property
    def layers(self) -> list[Node]:
        return [node for node in self.nodes if node.op in LAYERS]

    @property
    def name(self) -> str:
        """Its layers' names."""
        names = [node.name for node in self.layers] or [node.name for node in self.nodes]
        return names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"


def live_values(graph: Graph) -> list[set[str]]:
    """For every position behind a node: the values made so far, graph inputs included, that are read later or are outputs."""
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.nodes))
    live = {name for name in graph.inputs if name in last}
    result = []
    for index, node in enumerate(graph.nodes):
        live = {name for name in (*live, node.name) if last.get(name, -1) > index}
        result.append(live)
    return result


def blocks_of(graph: Graph, layers: int) -> list[Block]:
    """The network cut where a single value is live: behind a residual block, between the layers of a chain.

    Neighbours are joined until a block has ``layers`` layers (depthwise and pointwise of a separable convolution meet thus); what
    is left at the end joins the last block.  The first and the last layer, which are mostly of 8 bits, count like others."""
    cuts = [index for index, live in enumerate(live_values(graph)) if len(live) == 1]
    parts: list[list[Node]] = []
    begin = 0
    current: list[Node] = []
    for cut in [*(cut for cut in cuts if cut < len(graph.nodes) - 1), len(graph.nodes) - 1]:
        current += graph.nodes[begin : cut + 1]
        begin = cut + 1
        if sum(node.op in LAYERS for node in current) >= layers:
            parts.append(current)
            current = []
    if current and parts and not any(node.op in LAYERS for node in current):
        parts[-1] += current
    elif current:
        parts.append(current)
    return [_block(graph, part) for part in parts]


def _block(graph: Graph, nodes: list[Node]) -> Block:
    made = {node.name for node in nodes}
    reads = dict.fromkeys(n for node in nodes for n in node.inputs if n not in made and n not in graph.constants)
    users = graph.users()
    gives = [
        name for name in (node.name for node in nodes) if name in graph.outputs or any(u.name not in made for u in users[name])
    ]
    return Block(tuple(nodes), tuple(reads), tuple(gives))
