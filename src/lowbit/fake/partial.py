"""A float graph of which a part computes on integers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS, PASS_THROUGH, POSITIONS
from lowbit.numerics import dequantize
from lowbit.quantization.apply import RULES
from lowbit.quantization.choice import Choice
from lowbit.quantization.draft import Draft

__all__ = ["partial"]

_FROM_INTEGERS = (*LAYERS, *POSITIONS, "softmax", "unary")  # may give real numbers


def partial(graph: Graph, choice: Choice, real: Collection[str]) -> Graph:
    """The graph of lowbit.quantization.apply, but for the layers named in ``real``, whose weights stay float32, and the values
    to which ``choice`` gives no QParams.

    An operation computes on integers where all it reads is integers; else on real numbers: what it reads is dequantized
    before, integer weights too, and what it gives is rounded to its QParams, if any.  With all layers and values quantized
    this is apply's graph; otherwise one that torch runs (fake.network), and no kernel.
    """
    draft = Draft(graph, replace(choice, values={**choice.values, **dict.fromkeys(graph.constants)}))
    reals: dict[str, str] = {}
    for name in graph.inputs:
        draft.types[name] = graph.types[name]
        params = choice.values[name]
        if params is not None:
            draft.renamed[name] = draft.fresh(f"{name}.quantize")
            draft.emit(Node(draft.renamed[name], "quantize", (name,)), params)

    def as_real(name: str) -> str:
        """The value as float32, under the name of a ``dequantize`` where it is integers."""
        if name in graph.inputs or name in graph.constants:
            return name if name in draft.types else draft.constant(name, graph.constants[name])
        if choice.values[name] is None:
            return name
        if name not in reals:
            reals[name] = draft.fresh(f"{name}.dequantize")
            draft.emit(Node(reals[name], "dequantize", (name,)), None)
        return reals[name]

    for node in graph.nodes:
        read = [name for name in node.inputs if name not in graph.constants]
        integers = all(choice.values[name] is not None for name in read) and node.name not in real
        params = choice.values[node.name]
        moves = node.op in PASS_THROUGH and (choice.values.get(node.inputs[0]) is None) == (params is None)
        if moves or (integers and (params is not None or node.op in _FROM_INTEGERS)):
            RULES[node.op](draft, node)
        else:
            _on_reals(draft, node, [as_real(name) for name in node.inputs], real)
    outputs = tuple(as_real(name) for name in graph.outputs)
    return Graph(graph.name, graph.inputs, outputs, tuple(draft.nodes), draft.types, draft.constants, structure=graph.structure)


def _on_reals(draft: Draft, node: Node, inputs: list[str], real: Collection[str]) -> None:
    params = draft.choice.values[node.name]
    if node.op in LAYERS and node.name not in real:
        numbers = draft.choice.layers[node.name]
        inputs[1] = draft.constant(f"{node.name}.weights", dequantize(numbers.weights.integers, numbers.weights.params))
    name = node.name if params is None else draft.fresh(f"{node.name}.real")
    draft.types[name] = draft.source.types[node.name]
    draft.nodes.append(Node(name, node.op, tuple(inputs), node.attrs, node.source))
    if params is not None:
        draft.emit(Node(node.name, "quantize", (name,), source=node.source), params)
