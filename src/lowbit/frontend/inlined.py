"""Blocks of a traced program that stand for themselves: ``with torch.no_grad()``, ``with torch.autocast(...)``."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from lowbit.errors import UnsupportedOperation

__all__ = ["inlined"]

_HIGHER = torch.ops.higher_order
_BODY = {_HIGHER.wrap_with_set_grad_enabled: 1, _HIGHER.wrap_with_autocast: 4}
"""Operation -> position of its block among the arguments; the block's own arguments follow."""


def inlined(module: fx.GraphModule) -> fx.Graph:
    """The module's graph with the nodes of such blocks in their places; what the block asks of gradients has no meaning here.

    Raises UnsupportedOperation for a block that computes in another type than its operands have (autocast)."""
    if not any(node.target in _BODY for node in module.graph.nodes if node.op == "call_function"):
        return module.graph
    graph = fx.Graph(module)
    _copy(graph, module, module.graph, {}, "")
    return graph


def _copy(graph: fx.Graph, module: fx.GraphModule, source: fx.Graph, known: dict[fx.Node, Any], prefix: str) -> Sequence[Any]:
    """Appends the nodes of ``source``, whose placeholders may be ``known``, and returns what it returns."""
    for node in source.nodes:
        if node in known:
            continue
        if node.op == "output" and prefix:
            return list(fx.map_arg(node.args[0], lambda n: known[n]))
        if node.op == "call_function" and node.target in _BODY:
            known[node] = _block(graph, module, node, known)
        elif node.op == "call_function" and node.target is operator.getitem and not isinstance(known[node.args[0]], fx.Node):
            known[node] = known[node.args[0]][node.args[1]]
        else:
            known[node] = graph.node_copy(node, lambda n: known[n])
            if node.op == "get_attr":
                known[node].target = prefix + str(node.target)
    return []


def _block(graph: fx.Graph, module: fx.GraphModule, node: fx.Node, known: dict[fx.Node, Any]) -> Sequence[Any]:
    at = _BODY[node.target]
    if node.target is _HIGHER.wrap_with_autocast:
        device, dtype, enabled = node.args[:3]
        if enabled and device == "cpu":
            raise UnsupportedOperation(
                f"torch.autocast to {dtype} inside the model is not supported; leave it out: lowbit quantizes"
            )
    path = str(known[node.args[at]].target)
    body = operator.attrgetter(path)(module)
    given = [known[each] if isinstance(each, fx.Node) else each for each in node.args[at + 1 :]]
    places = [each for each in body.graph.nodes if each.op == "placeholder"]
    return _copy(graph, module, body.graph, dict(zip(places, given, strict=True)), f"{path}.")
