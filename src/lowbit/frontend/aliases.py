"""In-place operations: when a plain walk of the traced program gives them their meaning.

``y = relu_(x)`` also changes what later readers of ``x`` see.  The walk handles that by rebinding
``x``.  It cannot where memory is shared through a view (``x.view(...)``, a slice) that is read after
the write: then the program has to be made functional first, which costs time, so it is asked for only
where this file finds it necessary.
"""

from __future__ import annotations

import operator
from collections import defaultdict

from torch import fx

from lowbit.frontend.call import schema_of

__all__ = ["is_write", "writes_through_views"]


def _alias(node: fx.Node) -> str:
    """``write``, ``view`` or ``""`` by the first result's alias mark in the schema."""
    if node.target is operator.getitem:
        return "view"
    schema = schema_of(node)
    if schema is None or not schema.returns or schema.returns[0].alias_info is None:
        return ""
    return "write" if schema.returns[0].alias_info.is_write else "view"


def is_write(node: fx.Node) -> bool:
    """Whether the operation writes to its first argument."""
    return _alias(node) == "write"


def writes_through_views(graph: fx.Graph) -> bool:
    """Whether something that shares memory with a written value through a view is read afterwards."""
    position = {node: index for index, node in enumerate(graph.nodes)}
    family: dict[fx.Node, list[fx.Node]] = {}
    has_view: dict[int, bool] = defaultdict(bool)
    for node in graph.nodes:
        kind = _alias(node) if node.op == "call_function" else ""
        first = node.args[0] if kind and node.args else None
        if not isinstance(first, fx.Node):
            family[node] = [node]
            continue
        members = family[first]
        has_view[id(members)] |= kind == "view"
        if kind == "write" and has_view[id(members)]:
            later = (user for member in members for user in member.users if position[user] > position[node])
            if any(later):
                return True
        members.append(node)
        family[node] = members
    return False
