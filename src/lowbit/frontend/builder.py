"""Collects nodes, types and constants while a traced program is walked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lowbit.errors import NumericsError
from lowbit.frontend.call import Call, Value
from lowbit.graph import Graph, Integers, Node, TensorType
from lowbit.graph.ops import POSITIONS
from lowbit.numerics import QParams

__all__ = ["Builder"]


class Builder:
    """Names are unique over inputs, constants and nodes together.

    ``parameters``: id of a parameter or buffer -> its path in the model, to name constants after it.
    """

    def __init__(self, parameters: dict[int, str] | None = None) -> None:
        self.inputs: list[str] = []
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._parameters = parameters or {}
        self._emitted: dict[int, tuple[str, torch.Tensor]] = {}
        self.conditions: set[str] = set()  # values that are 1 for true and 0 for false, bool in the user's network
        self.grids: dict[str, QParams] = {}  # values of networks that are quantized already -> their grid
        self._made_of: dict[int, tuple[Integers, torch.Tensor]] = {}
        self._integers: dict[str, Integers] = {}

    def shape(self, value: Value) -> tuple[int, ...]:
        return self.types[value].shape if isinstance(value, str) else tuple(value.shape)

    def positions(self, value: Value) -> bool:
        """Whether ``value`` holds positions (int64) instead of real numbers."""
        return isinstance(value, str) and value in self.types and self.types[value].dtype == "int64"

    def is_condition(self, value: Value) -> bool:
        """Whether ``value`` is a condition, or nothing computed."""
        return not (isinstance(value, str) and value in self.types) or value in self.conditions

    def producer(self, value: str) -> Node | None:
        """The node that computes ``value``; None of an input."""
        return next((node for node in reversed(self.nodes) if node.name == value), None)

    def add_input(self, name: str, shape: Sequence[int]) -> str:
        name = self._unique(name)
        self.inputs.append(name)
        self.types[name] = TensorType(tuple(shape))
        return name

    def emit(self, call: Call, op: str, inputs: Sequence[Value], shape: Sequence[int], /, **attrs: Any) -> str:
        """Appends a node; tensors among ``inputs`` become constants.  Returns the node's name.

        Raises NumericsError where a constant is not finite; what is added may be -inf (passes/bound_masks.py).
        """
        name = self._unique(_base_name(call, op))
        given = self.types[inputs[0]].dtype if isinstance(inputs[0], str) else "float32"
        self.types[name] = TensorType(tuple(int(size) for size in shape), "int64" if op in POSITIONS else given)
        names = [value if isinstance(value, str) else self._constant(value, name, call, masks=op == "add") for value in inputs]
        self.nodes.append(Node(name, op, tuple(names), attrs, call.source))
        return name

    def again(self, call: Call, node: Node, inputs: Sequence[str]) -> str:
        """The same node of other values of the same shapes."""
        name = self._unique(_base_name(call, node.op))
        self.types[name] = self.types[node.name]
        self.nodes.append(Node(name, node.op, tuple(inputs), node.attrs, node.source))
        return name

    def reshape(self, call: Call, value: str, shape: Sequence[int]) -> str:
        """``value`` with another shape; the value itself where it has that shape already."""
        shape = tuple(int(size) for size in shape)
        return value if self.shape(value) == shape else self.emit(call, "reshape", [value], shape, shape=shape)

    def permute(self, call: Call, value: str, dims: Sequence[int]) -> str:
        """Axis k of the result is axis dims[k] of ``value``."""
        dims = tuple(dims)
        old = self.shape(value)
        if dims == tuple(range(len(old))):
            return value
        return self.emit(call, "permute", [value], [old[d] for d in dims], dims=dims)

    def number(self, call: Call, what: str, value: Any) -> float:
        """A number of the call for an attribute; raises NumericsError where float32 cannot hold it."""
        number = float(value)
        with np.errstate(over="ignore"):
            if not np.isfinite(np.float32(number)):
                raise NumericsError(f"{what} of {call.target} in {call.where} is {number}, which is not a finite float32 number")
        return number

    def from_integers(self, made: Integers) -> torch.Tensor:
        """The real constant that these integers mean; layers that read it keep them."""
        real = torch.from_numpy(np.array(made.real, order="C"))
        self._made_of[id(real)] = made, real
        return real

    def made_of(self, constant: Any) -> Integers | None:
        """What a constant of :meth:`from_integers` was made of."""
        return self._made_of[id(constant)][0] if id(constant) in self._made_of else None

    def keep_integers(self, operands: Iterable[Any], since: int) -> None:
        """Constants that were emitted after the first ``since``, for a call of these operands: those that hold an operand's
        values, or its transposition's, are made of its integers."""
        made = [found for found in map(self.made_of, operands) if found is not None]
        for name in list(self.constants)[since:] if made else ():
            array = self.constants[name]
            for found in made:
                for move in (lambda x: x, np.transpose):
                    moved = found.moved(move)
                    if array.size == moved.integers.size and np.array_equal(array.reshape(moved.integers.shape), moved.real):
                        self._integers.setdefault(name, moved.moved(partial(np.reshape, shape=array.shape)))

    def quantize(self, call: Call, x: str, params: QParams) -> str:
        """``x`` rounded to a grid, as float32 again: a node each way."""
        shape = self.shape(x)
        rounded = self.emit(call, "quantize", [x], shape)
        self.types[rounded] = TensorType(shape, str(params.qtype.dtype), params)
        real = self.emit(call, "dequantize", [rounded], shape)
        self.types[real] = TensorType(shape)
        self.grids[real] = params
        return real

    def graph(self, name: str, outputs: Sequence[str]) -> Graph:
        return Graph(name, tuple(self.inputs), tuple(outputs), tuple(self.nodes), self.types, self.constants, self._integers)

    def _unique(self, base: str) -> str:
        name, count = base, 0
        while name in self.types:
            count += 1
            name = f"{base}_{count}"
        return name

    def _constant(self, tensor: torch.Tensor, reader: str, call: Call, masks: bool) -> str:
        if id(tensor) in self._emitted:
            return self._emitted[id(tensor)][0]
        path = self._parameters.get(id(tensor))
        if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided or tensor.is_meta:
            what = f"parameter {path}" if path else "a constant"
            call.refuse(f"{what} it reads is {tensor.dtype}, {tensor.layout} on {tensor.device}; it must hold plain real numbers")
        array = np.array(tensor.detach().cpu().to(torch.float32).numpy(), order="C")
        allowed = np.isfinite(array) | np.isneginf(array) if masks else np.isfinite(array)
        if not allowed.all():
            what = f"parameter {path}" if path else "a constant"
            bad = int(array.size - allowed.sum())
            raise NumericsError(f"{what} read by {call.target} in {call.where} holds {bad} NaN or Inf of {array.size} values")
        name = self._unique(path or f"{reader}.constant")
        self.types[name] = TensorType(array.shape)
        self.constants[name] = array
        self._emitted[id(tensor)] = (name, tensor)
        return name


_MOVES = ("interleave", "permute", "reshape", "slice", "take")


def _base_name(call: Call, op: str) -> str:
    """The module's path for a layer, ``path.op`` inside a larger module, ``op`` at the top.

    Moves of data never take a layer's name: they often stand beside the node that does its work.
    """
    path = call.module if call.layer and op not in _MOVES else f"{call.module}.{op}" if call.module else op
    return re.sub(r"[^\w.]", "_", path) or op
