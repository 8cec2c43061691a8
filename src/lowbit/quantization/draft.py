"""The integer graph while it is being written."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lowbit.graph import Graph, Node, TensorType
from lowbit.numerics import QParams, quantize
from lowbit.quantization.choice import Choice, operand_params

__all__ = ["Draft", "clamp_bounds"]


@dataclass
class Draft:
    """``source``: the float graph.  ``renamed``: graph input -> its quantized copy."""

    source: Graph
    choice: Choice
    nodes: list[Node] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """``name``, with primes until it is free."""
        while name in self.types or name in self.source.types:
            name += "'"
        return name

    def constant(self, name: str, values: np.ndarray, params: QParams | None = None) -> str:
        """Adds a constant under a free name made of ``name``; returns that name."""
        name = name if name in self.source.constants and name not in self.constants else self.fresh(name)
        values = np.asarray(values, order="C")
        self.constants[name] = values
        self.types[name] = TensorType(values.shape, str(values.dtype), params)
        return name

    def emit(self, node: Node, params: QParams | None) -> None:
        """Adds a node whose value has the float node's shape (or its input's) and these QParams."""
        like = self.source.types[node.name if node.name in self.source.types else node.inputs[0]]
        self.nodes.append(node)
        self.types[node.name] = TensorType(like.shape, str(params.qtype.dtype) if params else like.dtype, params)

    def operand(self, node: Node, index: int) -> tuple[str, QParams]:
        """An activation that an integer operation reads: its name in the integer graph and QParams."""
        name, params = node.inputs[index], operand_params(self.choice.values, node, index)
        return self.renamed.get(name, name), params


def clamp_bounds(node: Node, params: QParams) -> dict[str, int]:
    """qlo, qhi: the type's range, tightened by the fused clamp lo, hi.  Of b1 that may leave one value."""
    qlo, qhi = params.qtype.qmin, params.qtype.qmax
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    if lo is not None:
        qlo = max(qlo, int(quantize(np.float32(lo), params)))
    if hi is not None:
        qhi = min(qhi, int(quantize(np.float32(hi), params)))
    return {"qlo": min(qlo, qhi), "qhi": qhi}
