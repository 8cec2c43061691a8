"""A graph while one pass rewrites it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from lowbit.errors import GraphError, NumericsError
from lowbit.graph import Graph, Node, TensorType

__all__ = ["Edit"]


class Edit:
    """Nodes are added in order; a node added before may still be exchanged, moved or removed.

    ``nodes``: what the new graph holds so far.  A value can be redirected to another one: later
    readers and the graph's outputs then get that.  A name has one meaning: that of a node of the new
    graph, or a redirected one, never both, so redirections cannot make a cycle (GraphError); a node
    whose value changes gets a :meth:`fresh` name.  Readers are counted by the value they will read.
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
        if node.name in self._redirected:
            raise GraphError(f"{node.name} ({node.op}): its readers were redirected to {self._now(node.name)!r}")
        self.nodes[node.name] = Node(node.name, node.op, self.inputs(node), node.attrs, node.source)

    def inputs(self, node: Node) -> tuple[str, ...]:
        return tuple(map(self._now, node.inputs))

    def fresh(self, base: str, like: str) -> str:
        """A new name that begins with ``base`` for a value with the type of ``like`` and one reader."""
        name, count = base, 0
        while name in self.types:
            count += 1
            name = f"{base}_{count}"
        self.types[name], self._reads[name] = self.types[like], 1
        return name

    def redirect(self, name: str, to: str) -> None:
        """Readers of ``name`` read ``to`` from here on; ``name`` itself, a reader of ``to``, is gone."""
        to = self._now(to)
        if name == to or name in self.nodes:
            raise GraphError(f"{name}: redirected to {to!r}, but it is a node of the new graph")
        self._redirected[name] = to
        self._reads[to] += self._reads[name] - 1

    def read_once(self, name: str) -> bool:
        """Whether one input of one node is all that reads this value."""
        return self._reads[self._now(name)] == 1

    def producer(self, name: str, ops: Sequence[str]) -> Node | None:
        """The node that now computes a value read once, if it is one of ``ops``."""
        node = self.nodes.get(self._now(name)) if self.read_once(name) else None
        return node if node is not None and node.op in ops else None

    def steps(self, name: str) -> Iterator[None]:
        """Bounds a loop of pass ``name`` that follows nodes: raises GraphError when it took more steps than there are nodes."""
        yield from (None for _ in range(len(self.graph.nodes) + 1))
        raise GraphError(f"pass {name} took {len(self.graph.nodes) + 1} steps over {len(self.graph.nodes)} nodes without an end")

    def _now(self, name: str) -> str:
        while name in self._redirected:  # ends: see redirect
            name = self._redirected[name]
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return self.types[name].shape

    def constant(self, node: Node, role: str, value: np.ndarray) -> str:
        """A new float32 constant for ``node``, in place of the one of that name if only ``node`` reads it.

        Raises NumericsError where folding overflowed.
        """
        with np.errstate(over="ignore"):
            array = np.asarray(value, np.float32, order="C")
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
        outputs = map(self._now, self.graph.outputs)
        return self.graph.rebuild(self.nodes.values(), self.types, self.constants, outputs)
