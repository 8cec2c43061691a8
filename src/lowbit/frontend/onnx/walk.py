"""ONNX model -> float graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from lowbit.errors import InputError, LowbitError, UnsupportedOperation
from lowbit.frontend.aten import Aten, Place
from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Value
from lowbit.frontend.onnx.constants import element_type, to_torch
from lowbit.frontend.onnx.file import Shapes, open_model, opsets
from lowbit.frontend.onnx.library import need
from lowbit.frontend.onnx.names import module_paths
from lowbit.frontend.onnx.node import OnnxNode
from lowbit.frontend.onnx.table import GIVE_INTEGERS, READ_INTEGERS, ROWS, only_moves
from lowbit.graph import Graph
from lowbit.graph.rebatch import rebatch

__all__ = ["import_onnx"]

INTEGERS = "INTEGERS"
"""Kind of an activation that the file holds as integers."""

_FLOATING = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")


def import_onnx(source: Any, shapes: Shapes | None = None, name: str | None = None) -> Graph:
    """The network of a ``.onnx`` file or a ModelProto.

    ``shapes``: input -> shape, or shapes in order, in place of the file's; where only the number of rows is another one, and the
    file's operations are bound to its own, it is read with its own and the graph made for the others.  Nodes are named after the
    modules they were exported from where the file tells, else after the file's nodes.  Raises what :func:`open_model` raises,
    UnsupportedOperation naming the node and the file for what cannot be compiled, NumericsError for weights that are not finite.
    """
    model, file = open_model(source, shapes)
    name = name or re.sub(r"\.onnx$", "", file)
    try:
        return _Walk(model, file).run(name)
    except UnsupportedOperation:
        graph = None if shapes is None else _of_other_rows(source, name, shapes)
        if graph is None:
            raise
        return graph


def _of_other_rows(source: Any, name: str, shapes: Shapes) -> Graph | None:
    """The file's graph for its own shapes, made for the number of rows that ``shapes`` ask for; None where that is not it."""
    try:
        own = _Walk(*open_model(source)).run(name)
        wanted = {**{key: own.types[key].shape for key in own.inputs}, **_by_name(own, shapes)}
        (rows,) = {shape[0] for shape in wanted.values()}
        graph = rebatch(own, rows)
    except (LowbitError, ValueError, IndexError):
        return None
    return graph if all(graph.types[key].shape == shape for key, shape in wanted.items()) else None


def _by_name(graph: Graph, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    given = shapes if isinstance(shapes, Mapping) else dict(zip(graph.inputs, shapes, strict=True))
    return {key: tuple(int(size) for size in shape) for key, shape in given.items()}


class _Walk:
    """One pass over the nodes: ``values`` holds what every name of the file stands for so far."""

    def __init__(self, model: Any, file: str) -> None:
        self.model, self.file, self.versions = model, file, opsets(model)
        self.values: dict[str, Value] = {}
        self.kinds: dict[str, str] = {}
        names: dict[int, str] = {}
        self.names = names
        self._hold(model.graph)
        self.builder = Builder(names)

    def run(self, name: str) -> Graph:
        graph = self.model.graph
        for value in graph.input:
            if value.name not in self.values:
                self.values[value.name] = self._input(value)
        self._steps(graph)
        outputs = []
        for value in graph.output:
            found = self.values.get(value.name)
            if not isinstance(found, str):
                why = "is computed nowhere" if found is None else "does not depend on the inputs; remove it"
                raise UnsupportedOperation(f"{self.file}: output {value.name} {why}")
            outputs.append(found)
        return self.builder.graph(name, outputs)

    def _hold(self, graph: Any) -> None:
        for tensor in graph.initializer:
            value = self.values[tensor.name] = to_torch(tensor, self.file)
            self.kinds[tensor.name] = element_type(tensor.data_type)
            self.names[id(value)] = re.sub(r"[^\w.]+", "_", tensor.name)

    def _steps(self, graph: Any) -> None:
        for node, (path, single) in zip(graph.node, module_paths(graph.node), strict=True):
            condition = self.values.get(node.input[0]) if node.op_type == "If" and not node.domain else None
            if isinstance(condition, torch.Tensor) and condition.numel() == 1:
                self._branch(node, bool(condition))
            else:
                self._step(node, path, single)

    def _branch(self, node: Any, holds: bool) -> None:
        """An If whose condition is known: the nodes of the branch that is taken.  Names are unique in nested graphs (ONNX,
        section on graphs), so it shares them with what is around it."""
        wanted = "then_branch" if holds else "else_branch"
        graph = next(each.g for each in node.attribute if each.name == wanted)
        self._hold(graph)
        self._steps(graph)
        for name, inner in zip(node.output, graph.output, strict=True):
            if inner.name in self.values:
                self.values[name] = self.values[inner.name]
                self.kinds[name] = self.kinds.get(inner.name, "")

    def _input(self, value: Any) -> str:
        tensor = value.type.tensor_type
        kind = element_type(tensor.elem_type)
        if kind not in _FLOATING:
            raise InputError(
                f"{self.file}: input {value.name} is of type {kind}; inputs must be floating point, and are float32 once compiled"
            )
        return self.builder.add_input(re.sub(r"[^\w.]+", "_", value.name), [dim.dim_value for dim in tensor.shape.dim])

    def _step(self, node: Any, path: str, single: bool) -> None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        op = f"{domain}.{node.op_type}" if domain else node.op_type
        version = self.versions.get(domain, 1)
        word = f"{node.op_type} of {domain}" if domain else node.op_type
        place = Place(word, f"ONNX opset {version}" if not domain else f"version {version}", path, self.file, single)
        outputs = [name for name in node.output if name]
        last = max((index for index, name in enumerate(node.output) if name), default=-1)
        given = OnnxNode(
            op=op,
            opset=version,
            inputs=tuple(self._value(node, name) if name else None for name in node.input),
            attributes={each.name: self._attribute(each) for each in node.attribute},
            outputs=last + 1,
            aten=Aten(self.builder, place),
            kinds=tuple(self.kinds.get(name, "") for name in node.input),
        )
        if op not in ROWS:
            given.refuse("lowbit cannot compile this operation; docs/onnx.md lists those it can")
        held = [name for name in node.input if self.kinds.get(name) == INTEGERS]
        moved = only_moves(given)
        if held and op not in READ_INTEGERS and not moved:
            given.refuse(f"it computes on the integers of {held[0]}; put a DequantizeLinear between")
        result = ROWS[op](given)
        if unread := given.unread(self._defaults(node.op_type, version, domain)):
            said = ", ".join(f"{name} = {given.attributes[name]}" for name in unread)
            given.refuse(f"lowbit does not know what {said} means here")
        results = result if isinstance(result, tuple) else (result,)
        for index, name in enumerate(node.output):
            if name and index < len(results):
                self.values[name] = results[index]
        if moved:
            self._pass_on(op, given.inputs, results)
        if op in GIVE_INTEGERS or (moved and held):
            self.kinds.update({name: INTEGERS for name in outputs if isinstance(self.values.get(name), str)})
        if op == "Constant" and node.attribute and node.attribute[0].name == "value":
            self.kinds[node.output[0]] = element_type(node.attribute[0].t.data_type)
        if any(name not in self.values for name in outputs[:1]):
            given.refuse("it has no result")

    def _pass_on(self, op: str, inputs: tuple[Value | None, ...], results: tuple[Any, ...]) -> None:
        """The grid of quantized values stays that of what only moves them."""
        grids = [self.builder.grids.get(value) for value in inputs[: None if op == "Concat" else 1] if isinstance(value, str)]
        first = grids[0] if grids else None
        if first is not None and all(grid is not None and grid.same_grid(first) for grid in grids):
            for result in results:
                if isinstance(result, str):
                    self.builder.grids.setdefault(result, first)

    def _value(self, node: Any, name: str) -> Value:
        if name not in self.values:
            where = f"{self.file}: {node.op_type} {node.name}"
            raise UnsupportedOperation(f"{where} reads {name!r}, which no operation that is supported gives")
        return self.values[name]

    def _defaults(self, op: str, version: int, domain: str) -> dict[str, Any]:
        """Attributes' values where a node does not say them."""
        defs = need("onnx").defs
        if not defs.has(op, version, domain):
            return {}
        said = {name: each.default_value for name, each in defs.get_schema(op, version, domain).attributes.items()}
        return {name: self._attribute(value) for name, value in said.items() if value.type}

    def _attribute(self, attribute: Any) -> Any:
        value = need("onnx").helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if hasattr(value, "data_type"):
            return to_torch(value, self.file)
        return list(value) if isinstance(value, (list, tuple)) else value
