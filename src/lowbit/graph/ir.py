"""The graph: frozen, single-output nodes in topological order, logical (NCHW) shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from lowbit.graph.structure import Structure
from lowbit.numerics import QParams

__all__ = ["Graph", "Integers", "Node", "TensorType"]


_ONE_ANSWER = frozenset(
    {"add", "affine", "argmax", "clamp", "concat", "expand", "interleave", "max_pool2d", "maximum", "min_pool2d", "minimum"}
    | {"mul", "pad", "permute", "quantize", "reshape", "slice", "sub", "take"}
)
"""Operations on float32 values of which every step is one correctly rounded operation."""


@dataclass(frozen=True)
class TensorType:
    """Logical shape and element type.

    ``quant`` is None for float32 tensors; else the tensor holds integers of ``quant.qtype``.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    quant: QParams | None = None

    def __str__(self) -> str:
        return f"{self.quant or self.dtype}[{'x'.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Node:
    """One operation.  ``name`` is both the node's and its output value's name.

    ``inputs`` name graph inputs, constants or earlier nodes.  ``source`` is the user's
    ``file.py:line``.  ``attrs`` hold plain Python data (ints, floats, strings, None, tuples).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))

    def with_attrs(self, **attrs: Any) -> Node:
        return replace(self, attrs={**self.attrs, **attrs})


@dataclass(frozen=True, eq=False)
class Integers:
    """What a float constant of a network that somebody else quantized is made of: constant = scale * integers.

    ``integers``: int64, zero points taken off; ``scale``: float32; both of the constant's shape.  ``bits``: of the type they were
    held in; ``bipolar``: of {-1, +1}.
    """

    integers: np.ndarray
    scale: np.ndarray
    bits: int
    bipolar: bool = False

    @property
    def real(self) -> np.ndarray:
        """The constant: float32(integers) * scale."""
        return np.asarray(self.integers.astype(np.float32) * self.scale, np.float32)

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Integers:
        """After an operation that only moves elements."""
        return replace(self, integers=move(self.integers), scale=move(self.scale))


@dataclass(frozen=True)
class Graph:
    """``types`` holds the TensorType of every input, constant and node output, by name.

    ``integers``: of the float constants of a network that was quantized elsewhere, between its import and
    quantization.integer_form; empty in all other graphs.
    ``structure``: how the outputs hang together, where they are more than one value or a tuple of them.
    ``real``: in which type what is computed between inputs and outputs of a float graph lies in memory; "float16": rounded to it
    whenever an operation has computed it in float32 (passes/halve.py).
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    integers: Mapping[str, Integers] = field(default_factory=dict)
    structure: Structure | None = None
    real: str = "float32"

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "nodes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("types", "constants", "integers"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def is_integer(self) -> bool:
        """Whether any value is quantized: then the interpreter says what the graph gives, to the last bit."""
        return any(tensor.quant is not None for tensor in self.types.values())

    @property
    def is_exact(self) -> bool:
        """Whether it is an integer graph without float32 parts whose result depends on how a function is computed, or on the
        order of a sum: then there is one answer."""
        operations = {node.op for node in self.nodes if self.types[node.inputs[0]].quant is None}
        return self.is_integer and operations <= _ONE_ANSWER

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def users(self) -> dict[str, list[Node]]:
        """Value name -> the nodes that read it, in order (graph outputs are not nodes)."""
        users: dict[str, list[Node]] = {name: [] for name in self.types}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        return users

    def rebuild(
        self,
        nodes: Iterable[Node],
        types: Mapping[str, TensorType] | None = None,
        constants: Mapping[str, np.ndarray] | None = None,
        outputs: Iterable[str] | None = None,
    ) -> Graph:
        """A graph with these nodes; ``types`` and ``constants`` are added, unused ones dropped."""
        nodes = tuple(nodes)
        outputs = tuple(self.outputs if outputs is None else outputs)
        all_types = {**self.types, **(types or {})}
        all_constants = {**self.constants, **(constants or {})}
        read = {name for node in nodes for name in node.inputs} | set(outputs)
        kept = {name: value for name, value in all_constants.items() if name in read}
        alive = {*self.inputs, *kept, *(node.name for node in nodes)}
        typed = {n: t for n, t in all_types.items() if n in alive}
        integers = {n: made for n, made in self.integers.items() if n in kept and kept[n] is self.constants[n]}
        return Graph(self.name, self.inputs, outputs, nodes, typed, kept, integers, self.structure, self.real)
