"""Float graph + numbers -> integer graph.  Nothing is chosen here, and nothing that was chosen is rounded anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowbit.errors import UnsupportedOperation
from lowbit.graph import Graph, Node, verify
from lowbit.graph.bounds import check_bounds
from lowbit.quantization import rules
from lowbit.quantization.choice import Choice, check_choice, stays_float
from lowbit.quantization.draft import Draft

__all__ = ["RULES", "apply"]

RULES: dict[str, Callable[[Draft, Node], None]] = {
    "add": rules.operands,
    "affine": rules.affine,
    "argmax": rules.select,
    "avg_pool2d": rules.clamped,
    "clamp": rules.clamped,
    "concat": rules.operands,
    "conv2d": rules.layer,
    "interleave": rules.select,
    "linear": rules.layer,
    "matmul": rules.operands,
    "max_pool2d": rules.select,
    "maximum": rules.operands,
    "min_pool2d": rules.select,
    "minimum": rules.operands,
    "mul": rules.operands,
    "normalize": rules.normalize,
    "norm_pool2d": rules.clamped,
    "dequantize": rules.made_real,
    "pad": rules.select,
    "permute": rules.select,
    "quantize": rules.rounded,
    "resize": rules.clamped,
    "reshape": rules.select,
    "expand": rules.select,
    "response_norm": rules.clamped,
    "slice": rules.select,
    "softmax": rules.softmax,
    "sub": rules.operands,
    "take": rules.select,
    "unary": rules.unary,
}


def apply(graph: Graph, choice: Choice) -> Graph:
    """The integer graph of a canonical float graph: same operations, plus a ``quantize`` behind each
    graph input and a ``dequantize`` before each output that is an integer.

    Parts may stay float32: an operation that neither reads nor gives a value with QParams.  In between the float graph has a
    ``quantize``, whose value has QParams, or a ``dequantize``, whose value has none.

    Every value gets the QParams of ``choice``; weights, biases, multipliers and tables become constants.
    Raises UnsupportedOperation for an operation or a value that has no integer form, ChoiceError for numbers of another
    graph, GraphError for numbers that break a rule of the integer graph (graph/verify.py), UnsupportedPrecision for sums that
    no accumulator holds, NumericsError for scales whose products leave float32 (graph/bounds.py).
    """
    for node in graph.nodes:
        if node.op not in RULES and not stays_float(graph, choice, node):
            raise UnsupportedOperation(f"{node.name} ({node.op}): no integer form; canonicalize the graph before quantizing")
    check_choice(graph, choice)
    draft = Draft(graph, choice)
    read = {name for node in graph.nodes for name in node.inputs}
    for name in graph.inputs:
        draft.types[name] = graph.types[name]
        params = choice.values[name]
        if params is not None and name in read:
            draft.renamed[name] = draft.fresh(f"{name}.quantize")
            draft.emit(Node(draft.renamed[name], "quantize", (name,)), params)
    for node in graph.nodes:
        if stays_float(graph, choice, node):
            _float(draft, node)
        else:
            RULES[node.op](draft, node)
    outputs: dict[str, str] = {}
    for name in dict.fromkeys(graph.outputs):
        outputs[name] = name
        if name not in graph.inputs and choice.values[name] is not None:
            outputs[name] = draft.fresh(f"{name}.dequantize")
            draft.emit(Node(outputs[name], "dequantize", (name,), source=graph.node(name).source), None)
    names = tuple(outputs[name] for name in graph.outputs)
    held = Graph(graph.name, graph.inputs, names, tuple(draft.nodes), draft.types, draft.constants, structure=graph.structure)
    return check_bounds(verify(held))


def _float(draft: Draft, node: Node) -> None:
    """The node as it was, its constants float32."""
    constants = draft.source.constants
    inputs = [draft.constant(name, constants[name]) if name in constants else name for name in node.inputs]
    draft.emit(replace(node, inputs=tuple(inputs)), None)
