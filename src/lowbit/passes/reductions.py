"""Which axes of a value a pool reduces, whatever reshapes and permutes stand around it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lowbit.graph import Graph, Node

__all__ = ["Look", "reduced_axes"]

_MOST = 1 << 22  # elements of a value whose positions are followed


class Look:
    """Backwards through a graph."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: Mapping[str, Node] = {node.name: node for node in graph.nodes}
        self.graph = graph

    def shape(self, name: str) -> tuple[int, ...]:
        return self.graph.types[name].shape

    def node(self, name: str, *ops: str) -> Node | None:
        """The node that computes ``name``, if it is one of ``ops``."""
        node = self.nodes.get(name)
        return node if node is not None and node.op in ops else None

    def behind(self, name: str, *ops: str) -> str:
        """``name`` without the nodes of these operations that stand last."""
        while (node := self.node(name, *ops)) is not None:
            name = node.inputs[0]
        return name

    def number(self, name: str) -> float | None:
        """A constant of one element."""
        value = self.graph.constants.get(name)
        return None if value is None or value.size != 1 else float(value.reshape(()))

    def same(self, a: str, b: str) -> bool:
        """Whether two values are the same: one value, or one operation of the same operands."""
        one, other = self.nodes.get(a), self.nodes.get(b)
        if a == b or one is None or other is None:
            return a == b
        alike = one.op == other.op and dict(one.attrs) == dict(other.attrs) and len(one.inputs) == len(other.inputs)
        return alike and all(self.same(x, y) for x, y in zip(one.inputs, other.inputs, strict=True))


def _whole(ranges: tuple[tuple[int, int], ...], size: int) -> bool | None:
    """True: one window of everything; False: a window an element; None: others."""
    if tuple(ranges) == ((0, size),):
        return True
    return False if tuple(ranges) == tuple((i, i + 1) for i in range(size)) else None


def reduced_axes(look: Look, name: str, x: str, op: str) -> tuple[int, ...] | None:
    """The axes of ``x`` that ``name``, an ``op`` of it with axes kept as 1, reduces; None where it is something else.

    Positions are followed by carrying them out: every result must be that of the elements it would be of, in this order."""
    shape = look.shape(x)
    pool = look.node(look.behind(name, "reshape"), op)
    if pool is None or math.prod(shape) > _MOST:
        return None
    moves, source = [], pool.inputs[0]
    while source != x:
        node = look.node(source, "permute", "reshape")
        if node is None:
            return None
        moves.append(node)
        source = node.inputs[0]
    places = np.arange(math.prod(shape)).reshape(shape)
    for node in reversed(moves):
        places = places.transpose(node.attrs["dims"]) if node.op == "permute" else places.reshape(node.attrs["shape"])
    ways = [_whole(pool.attrs[which], size) for which, size in zip(("windows", "columns"), places.shape[2:], strict=True)]
    if None in ways or True not in ways:
        return None
    over = [axis for axis, whole in zip((2, 3), ways, strict=True) if whole]
    count = math.prod(places.shape[axis] for axis in over)
    if op == "avg_pool2d" and set(pool.attrs["divisors"]) != {count}:
        return None
    grouped = np.moveaxis(places, over, range(4 - len(over), 4)).reshape(-1, count)
    varying = np.unravel_index(grouped[0], shape)
    axes = tuple(axis for axis, values in enumerate(varying) if len(np.unique(values)) > 1)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if math.prod(shape[axis] for axis in axes) != count:
        return None
    expected = np.arange(math.prod(shape)).reshape(shape).transpose([*kept, *axes]).reshape(-1, count)
    ones = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return axes if look.shape(name) == ones and np.array_equal(np.sort(grouped, 1), np.sort(expected, 1)) else None
