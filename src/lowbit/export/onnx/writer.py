"""An integer or float graph -> an ONNX model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import UnsupportedOperation
from lowbit.export.onnx.types import element_type, limits, opset_of
from lowbit.files import as_path, write_whole
from lowbit.frontend.onnx.library import need
from lowbit.graph import Graph, Node
from lowbit.graph.ops import PASS_THROUGH
from lowbit.graph.oracle.layers import effective_weights
from lowbit.numerics import QParams, QType

__all__ = ["Writer", "export_onnx", "to_onnx"]

_MOST_BYTES = 2_000_000_000
"""Of one file: protobuf's limit is 2^31."""


def export_onnx(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Writes :func:`to_onnx` of a graph.  Raises what that raises, and UnsupportedOperation for more than 2 GB of weights."""
    target, model = as_path(path, "path"), to_onnx(graph)
    if model.ByteSize() > _MOST_BYTES:
        raise UnsupportedOperation(f"{graph.name}: {model.ByteSize()} bytes do not fit one ONNX file, which holds 2 GB")
    write_whole(target, model.SerializeToString())
    return target


def to_onnx(graph: Graph) -> Any:
    """A ModelProto that computes what the graph does, on real numbers: weights are integers of the narrowest ONNX type behind a
    DequantizeLinear, biases int32 at scale s_x * s_w[c], and every value on a grid passes a QuantizeLinear and a
    DequantizeLinear, behind a Clip where its type is narrower than ONNX's.

    Equal to the graph but for the order of float32 roundings, which decides where a result lies half way between two integers.
    Of weights with group scales the integers are multiplied with them.  Raises UnsupportedOperation for an operation that has no
    form in ONNX here, ToolMissing without onnx.
    """
    return Writer(graph).model()


class Writer:
    """A model while it is written.  ``values``: value of the graph -> name of the real numbers it means."""

    def __init__(self, graph: Graph) -> None:
        self.onnx = need("onnx")
        self.graph = graph
        self.values: dict[str, str] = {name: name for name in graph.inputs}
        self.nodes: list[Any] = []
        self.held: dict[str, Any] = {}
        self.kinds: set[str] = set()
        self._names: set[str] = set(graph.inputs)

    def model(self) -> Any:
        from lowbit.export.onnx.operations import OPERATIONS

        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        for node in self.graph.nodes:
            if node.op not in OPERATIONS:
                raise UnsupportedOperation(
                    f"{node.name} ({node.op}): cannot be written as ONNX; known are {', '.join(OPERATIONS)}"
                )
            OPERATIONS[node.op](self, node)
        outputs = []
        for index, name in enumerate(self.graph.outputs):
            tensor, real = self.graph.types[name], self.fresh(f"output{index}")
            self.nodes.append(helper.make_node("Identity", [self.values[name]], [real], real))
            kind = kinds.INT64 if tensor.quant is None and tensor.dtype == "int64" else kinds.FLOAT
            outputs.append(helper.make_tensor_value_info(real, kind, list(tensor.shape)))
        inputs = [
            helper.make_tensor_value_info(name, kinds.FLOAT, list(self.graph.types[name].shape)) for name in self.graph.inputs
        ]
        made = helper.make_graph(self.nodes, self.graph.name or "network", inputs, outputs, list(self.held.values()))
        opset = opset_of(self.kinds)
        return helper.make_model(
            made,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
            producer_name="lowbit",
        )

    def fresh(self, base: str) -> str:
        name, count = base, 0
        while name in self._names:
            count += 1
            name = f"{base}.{count}"
        self._names.add(name)
        return name

    def emit(self, node: Node, op: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        """Adds an ONNX node for a node of the graph, named after it; returns its result."""
        name = self.fresh(name or f"{node.name}.{op.lower()}")
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray, kind: str | None = None) -> str:
        """An initializer, of the ONNX type ``kind`` or what numpy's says."""
        name = self.fresh(name)
        if kind is None:
            self.held[name] = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        else:
            self.kinds.add(kind)
            number = getattr(self.onnx.TensorProto, kind)
            flat = np.asarray(value).reshape(-1)
            self.held[name] = self.onnx.helper.make_tensor(name, number, list(np.shape(value)), flat)
        return name

    def floats(self, name: str, value: Any) -> str:
        return self.constant(name, np.asarray(value, np.float32))

    def ints(self, name: str, *values: int) -> str:
        return self.constant(name, np.asarray(values, np.int64))

    def real(self, name: str) -> str:
        """The name of the real numbers of a value or a constant."""
        if name not in self.values:
            self.values[name] = self._real_constant(name)
        return self.values[name]

    def _real_constant(self, name: str) -> str:
        value, params = self.graph.constants[name], self.graph.types[name].quant
        if params is None:
            return self.constant(name, value)
        if params.group_size is not None:
            value = effective_weights(value, self.graph.types[name])
            kind = element_type(QType(8 if np.abs(value).max(initial=0) < 128 else 16, True))
        else:
            kind = element_type(params.qtype)
        axis = {} if params.axis is None else {"axis": params.axis}
        held, scale = self.constant(f"{name}.integers", value, kind), self.floats(f"{name}.scale", params.scale)
        inputs = [held, scale]
        if params.zero_point:
            inputs.append(self.constant(f"{name}.zero", np.asarray(params.zero_point), kind))
        self.nodes.append(self.onnx.helper.make_node("DequantizeLinear", inputs, [self.fresh(name)], name, **axis))
        return name

    def bias(self, node: Node) -> str | None:
        """The bias of a layer: int32 at the scale of its sums, or float32 where int32 does not hold it; None for zeros."""
        name = node.inputs[2]
        value, x, w = self.graph.constants[name], *(self.graph.types[each].quant for each in node.inputs[:2])
        if x is None or w is None:
            return self.real(name)
        if not value.any():
            return None
        unit = x.scale.astype(np.float64) * w.scale.astype(np.float64)
        if np.abs(value.astype(np.float64)).max() < 2**31 and (unit.astype(np.float32) > 0).all():
            held, scale = self.constant(f"{name}.integers", value, "INT32"), self.floats(f"{name}.scale", unit)
            return self.emit(node, "DequantizeLinear", [held, scale], name, axis=0)
        return self.floats(name, value * unit)

    def finish(self, node: Node, y: str) -> None:
        """``y`` as the node's value: clamped, and rounded to its grid if it has one and does not only move values."""
        params = self.graph.types[node.name].quant
        if params is None or node.op in PASS_THROUGH:
            self.values[node.name] = self._clamped(node, y) if params is None else y
            return
        low = int(node.attrs.get("qlo", params.qtype.qmin))
        high = int(node.attrs.get("qhi", params.qtype.qmax))
        self.values[node.name] = self.rounded(node, y, params, low, high)

    def _clamped(self, node: Node, y: str) -> str:
        return self.clip(node, y, node.attrs.get("lo"), node.attrs.get("hi"))

    def clip(self, node: Node, y: str, lo: float | None, hi: float | None) -> str:
        if lo is None and hi is None:
            return y
        if lo == 0 and hi is None:
            return self.emit(node, "Relu", [y])
        ends = ["" if end is None else self.floats(f"{node.name}.{side}", end) for side, end in (("lo", lo), ("hi", hi))]
        return self.emit(node, "Clip", [y, *ends] if ends[1] else [y, ends[0]])

    def rounded(self, node: Node, y: str, params: QParams, low: int, high: int) -> str:
        """``y`` on a grid, as real numbers; of b1 the sign, 0 being positive, as a condition, which ONNX has no rounding for."""
        kind, scale, zero = element_type(params.qtype), float(params.scale), params.zero_point
        step = self.floats(f"{node.name}.step", params.scale)
        if params.qtype.bipolar:
            null, minus = self.floats(f"{node.name}.null", 0.0), self.floats(f"{node.name}.minus", -params.scale)
            if low == high:
                y = self.emit(node, "Mul", [y, null])
                y = self.emit(node, "Add", [y, step if low > 0 else minus])
            else:
                y = self.emit(node, "Where", [self.emit(node, "GreaterOrEqual", [y, null]), step, minus])
        else:
            least, most = limits(kind)
            ends = [None if at == end else (at - zero) * scale for at, end in ((low, least), (high, most))]
            y = self.clip(node, y, *ends)
        self.kinds.add(kind)
        point = self.constant(f"{node.name}.zero", np.asarray(zero), kind)
        q = self.emit(node, "QuantizeLinear", [y, step, point])
        return self.emit(node, "DequantizeLinear", [q, step, point], node.name)
