"""A graph cut into runs of operations, in the order of the program: those that lowbit takes and those that stay in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from lowbit.dynamo.bake import put

__all__ = ["Segment", "alone", "cut", "module_of", "recorded", "with_numbers"]

_WORK = ("call_function", "call_method", "call_module")


@dataclass(frozen=True)
class Segment:
    """``reads``, ``gives``: nodes outside that it needs and nodes inside that others need."""

    nodes: tuple[fx.Node, ...]
    reads: tuple[fx.Node, ...]
    gives: tuple[fx.Node, ...]
    taken: bool


def recorded(module: fx.GraphModule, inputs: Sequence[Tensor]) -> tuple[dict[fx.Node, Any], set[fx.Node]]:
    """(the value of every node for these inputs, the nodes that write to their operands)."""
    values: dict[fx.Node, Any] = {}
    writes: set[fx.Node] = set()

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            read = [values[each] for each in n.all_input_nodes if isinstance(values[each], Tensor)]
            before = [value._version for value in read]
            values[n] = super().run_node(n)
            if before != [value._version for value in read]:
                writes.add(n)
            return values[n]

    with torch.no_grad():
        Recorder(module, garbage_collect_values=False).run(*(value.clone() for value in inputs))
    return values, writes


def with_numbers(module: fx.GraphModule, values: Mapping[fx.Node, Any]) -> None:
    """Replaces sizes and what is computed of them by their values: shapes are fixed here."""
    for node in reversed(module.graph.nodes):
        of_values = node.target == "item" and any(each.op != "get_attr" for each in node.all_input_nodes)
        if node.op not in _WORK or node.op == "call_module" or of_values or not _plain(values.get(node)):
            continue
        put(node, values[node])
        if not node.users and node.target is not torch._assert:
            module.graph.erase_node(node)
    module.recompile()


def _plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return bool(value) and all(map(_plain, value))
    return type(value) in (int, float, bool)


def cut(module: fx.GraphModule, torchs: Mapping[fx.Node, str], values: Mapping[fx.Node, Any]) -> list[Segment]:
    """Runs of operations: those of ``torchs`` stay in torch, and so do those that would hand anything but float32 tensors
    from one side to the other."""
    work = [node for node in module.graph.nodes if node.op in _WORK]
    stays = set(torchs)
    while True:
        segments = _runs(work, stays)
        wrong = {
            node
            for segment in segments
            if segment.taken
            for node in segment.nodes
            if (node in segment.gives and not _crosses(values[node]))
            or any(each in segment.reads and not _crosses(values[each]) for each in node.all_input_nodes)
        }
        if not wrong:
            return segments
        stays |= wrong


def alone(node: fx.Node) -> Segment:
    """One operation."""
    return _segment([node], True)


def _crosses(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32


def _runs(work: Sequence[fx.Node], stays: set[fx.Node]) -> list[Segment]:
    runs: list[list[fx.Node]] = []
    for node in work:
        if not runs or (node in stays) != (runs[-1][0] in stays):
            runs.append([])
        runs[-1].append(node)
    return [_segment(nodes, nodes[0] not in stays) for nodes in runs]


def _segment(nodes: Sequence[fx.Node], taken: bool) -> Segment:
    inside = set(nodes)
    reads = dict.fromkeys(each for node in nodes for each in node.all_input_nodes if each not in inside and each.op != "get_attr")
    gives = [node for node in nodes if any(user not in inside for user in node.users)]
    return Segment(tuple(nodes), tuple(reads), tuple(gives), taken)


def module_of(module: fx.GraphModule, segment: Segment) -> fx.GraphModule:
    """The segment alone: a function of what it reads, giving a tuple."""
    graph = fx.Graph()
    known: dict[fx.Node, fx.Node] = {read: graph.placeholder(f"x{i}") for i, read in enumerate(segment.reads)}

    def copied(node: fx.Node) -> fx.Node:
        if node not in known:
            assert node.op == "get_attr"
            known[node] = graph.node_copy(node)
        return known[node]

    for node in segment.nodes:
        known[node] = graph.node_copy(node, copied)
    graph.output(tuple(known[node] for node in segment.gives))
    return fx.GraphModule(module, graph)
