"""Activation functions that are written out become one operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.graph.unary import apply_unary, function_of
from lowbit.passes.edit import Edit

__all__ = ["find_activations"]

KNOWN = ("sigmoid", "tanh", "silu", "hardsigmoid", "hardswish", "gelu", "gelu_tanh", "mish", "softsign")

_FAR = np.array([20.0, 50.0, 100.0, 1e3, 1e4])
_POINTS = np.concatenate([-_FAR[::-1], np.linspace(-12, 12, 2401), _FAR])
_CLOSE = 1e-6  # of 1 + |y|: constants are float32
_LONGEST = 10  # steps of a function

_BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}

Steps = Mapping[str, tuple[int, np.ndarray]]
"""Of a value: each value that it is a function of, elementwise -> (steps between them, the function at ``_POINTS``)."""


def find_activations(graph: Graph) -> Graph:
    """x * sigmoid(x), x * clamp(x + 3, 0, 6) / 6, x / 2 * (1 + erf(x / sqrt 2)) and others of :data:`KNOWN`, in whatever steps
    they are written, as one ``unary``, which rounds once.

    Elementwise operations with constants of one value are computed on a few thousand numbers: what is there the same as a
    function that is known, is that function.  Networks that were quantized elsewhere keep their steps."""
    if any(node.op == "quantize" for node in graph.nodes):
        return graph
    known = {fn: apply_unary(fn, _POINTS) for fn in KNOWN}
    steps: dict[str, Steps] = {}
    edit = Edit(graph)
    for node in graph.nodes:
        steps[node.name] = _steps(graph, node, steps)
        found = next(
            ((fn, x) for x, (length, y) in steps[node.name].items() if length > 1 for fn in KNOWN if _same(y, known[fn])), None
        )
        if found is None:
            edit.add(node)
        else:
            edit.add(Node(node.name, "unary", (found[1],), {"fn": found[0]}, node.source))
    return edit.done()


def _same(y: np.ndarray, wanted: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(y - wanted) <= _CLOSE * (1 + np.abs(wanted))))


def _steps(graph: Graph, node: Node, steps: Mapping[str, Steps]) -> Steps:
    found: dict[str, tuple[int, np.ndarray]] = {}
    values = [name for name in node.inputs if name not in graph.constants]
    numbers = {name: graph.constants[name].reshape(-1)[:1].astype(np.float64) for name in node.inputs if name in graph.constants}
    varied = any(np.any(graph.constants[name] != number) or not number.size for name, number in numbers.items())
    alike = len({graph.types[name].shape for name in (*values, node.name)}) == 1
    pointwise = node.op in _BINARY or (node.op in ("clamp", "unary") and len(node.inputs) == 1)
    if not (pointwise and values and alike) or varied:
        return {}
    known = {name: {name: (0, _POINTS), **steps.get(name, {})} for name in values}
    for x in known[values[0]]:
        if all(x in known[name] for name in values):
            length = 1 + max(known[name][x][0] for name in values)
            if length <= _LONGEST:
                given = {**numbers, **{name: known[name][x][1] for name in values}}
                found[x] = (length, _computed(node, [given[name] for name in node.inputs]))
    return found


def _computed(node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        if node.op == "clamp":
            return np.clip(given[0], node.attrs.get("lo"), node.attrs.get("hi"))
        if node.op == "unary":
            return function_of(node.attrs)(np.asarray(given[0]))
        return np.asarray(_BINARY[node.op](*given))
