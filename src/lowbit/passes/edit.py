"""A graph while one pass rewrites it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lowbit.errors import NumericsError
from lowbit.graph import Graph, Node, TensorType

__all__ = ["Edit"]


class Edit:
    """Nodes are added in order; a node added before may still be exchanged, moved or removed.

    ``nodes``: what the new graph holds so far.  A value can be redirected to another one: later
    readers and the graph's outputs then get that.  Questions about readers are about the graph as it
    was before the pass, so a pass that fuses asks about the value that is *read*, not about the node
    that computes it by now.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, Node] = {}
        self.types: dict[str, TensorType] = dict(graph.types)
        self.constants: dict[str, np.ndarray] = dict(graph.constants)
        self._redirected: dict[str, str] = {}
        self._reads = Counter(name for node in graph.nodes for name in node.inputs)
        self._reads.update(graph.outputs)

    def add(self, node: Node) -> None:
        """Appends ``node``, its inputs redirected."""
        self.nodes[node.name] = Node(node.name, node.op, self.inputs(node), node.attrs, node.source)

    def inputs(self, node: Node) -> tuple[str, ...]:
        return tuple(self._redirected.get(name, name) for name in node.inputs)

    def redirect(self, name: str, to: str) -> None:
        """Readers of ``name`` read ``to`` from here on."""
        self._redirected[name] = self._redirected.get(to, to)

    def read_once(self, name: str) -> bool:
        """Whether one input of one node is all that reads this value of the old graph."""
        return self._reads[name] == 1

    def producer(self, name: str, ops: Sequence[str]) -> Node | None:
        """The node that now computes a value read once, if it is one of ``ops``."""
        node = self.nodes.get(self._redirected.get(name, name)) if self.read_once(name) else None
        return node if node is not None and node.op in ops else None

    def shape(self, name: str) -> tuple[int, ...]:
        return self.types[name].shape

    def constant(self, node: Node, role: str, value: np.ndarray) -> str:
        """A new float32 constant for ``node``, in place of the one of that name if only ``node`` reads it.

        Raises NumericsError where folding overflowed.
        """
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(value, np.float32)
        if not np.isfinite(array).all():
            raise NumericsError(f"{node.name} [{node.source}]: folding constants into its {role} gives NaN or Inf")
        base = f"{node.name}.{role}"
        name, count = base, 0
        while name in self.types and not (name in node.inputs and name in self.constants and self.read_once(name)):
            count += 1
            name = f"{base}_{count}"
        self.types[name], self.constants[name] = TensorType(array.shape), array
        return name

    def done(self) -> Graph:
        outputs = [self._redirected.get(name, name) for name in self.graph.outputs]
        return self.graph.rebuild(self.nodes.values(), self.types, self.constants, outputs)
