"""Graphs that no program can be made of: which node, why, and what would be supported."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.errors import LowbitError, UnsupportedOperation, UnsupportedPrecision
from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.packing import Packing
from lowbit.lowering import lower
from lowbit.lowering.context import Lowering
from lowbit.lowering.lower import HANDLERS
from lowbit.numerics import QParams, QType
from lowbit.targets import TARGETS


def _integers(qtype: str, *shape: int, axis: int | None = None) -> TensorType:
    scale = np.full(shape[0], 0.5, np.float32) if axis == 0 else np.float32(0.5)
    parsed = QType.parse(qtype)
    return TensorType(shape, parsed.dtype.name, QParams(parsed, scale, axis=axis))


def _refused(graph: Graph, error: type[LowbitError], message: str) -> None:
    with pytest.raises(error, match=message):
        lower(graph, TARGETS["x86-64-v3"])


def test_an_operation_without_lowering() -> None:
    types = {"x": TensorType((1, 4)), "y": TensorType((1, 4))}
    graph = Graph("g", ("x",), ("y",), (Node("y", "batch_norm", ("x",), source="net.py:7"),), types)
    _refused(graph, UnsupportedOperation, r"y \(batch_norm, net\.py:7\): no lowering; supported: .*conv2d.*linear")
    assert "batch_norm" not in HANDLERS


def test_operands_that_do_not_broadcast() -> None:
    types = {"x": TensorType((1, 4, 2, 2)), "z": TensorType((1, 3, 2, 2)), "y": TensorType((1, 4, 2, 2))}
    node = Node("y", "add", ("x", "z"), {"lo": None, "hi": None}, "net.py:8")
    message = r"y \(add, net\.py:8\): cannot broadcast \(1, 3, 2, 2\) to \(1, 4, 2, 2\)"
    _refused(Graph("g", ("x", "z"), ("y",), (node,), types), UnsupportedOperation, message)


def test_activations_of_16_unsigned_bits() -> None:
    types = {"x": TensorType((1, 4)), "y": _integers("u16", 1, 4)}
    graph = Graph("g", ("x",), ("y",), (Node("y", "quantize", ("x",)),), types)
    _refused(graph, UnsupportedPrecision, "y: activations of type u16 have no kernel; use i16")


def test_sums_that_do_not_fit_the_accumulator() -> None:
    """70,000 products of 255 and 127 are more than 2^31; quantization would refuse it before."""
    width = 70_000
    types = {
        "x": TensorType((1, width)),
        "q": _integers("u8", 1, width),
        "w": _integers("i8", 1, width, axis=0),
        "b": TensorType((1,), "int32"),
        "y": TensorType((1, 1)),
    }
    constants = {"w": np.full((1, width), 127, np.int8), "b": np.zeros(1, np.int32)}
    nodes = (Node("q", "quantize", ("x",)), Node("y", "linear", ("q", "w", "b"), {"lo": None, "hi": None}))
    message = r"y \(linear\): u8 x i8 sums of up to \d{10} do not fit the int32 accumulator; use 16-bit activations"
    _refused(Graph("g", ("x",), ("y",), nodes, types, constants), UnsupportedPrecision, message)


def test_buffers_beyond_32_bits() -> None:
    """Three channels take sixteen."""
    types = {"x": TensorType((150, 3, 1000, 1000)), "y": TensorType((150, 3, 1000, 1000))}
    graph = Graph("g", ("x",), ("y",), (Node("y", "unary", ("x",), {"fn": "exp"}),), types)
    _refused(
        graph, UnsupportedOperation, r"x: 2400000000 elements in memory \(150 x 1000 x 1000 pixels of 16 channels\), kernels"
    )


def test_weights_beyond_32_bits() -> None:
    ctx = Lowering(Graph("g", ("x",), ("x",), (), {"x": TensorType((1, 4))}), TARGETS["x86-64-v3"])
    packing = Packing("panels", "f32", 40_000, 1, 40_000, 40_000, 16, 1)
    with pytest.raises(UnsupportedOperation, match=r"fc: 6400000000 bytes of weights; kernels address"):
        ctx.add_weights("fc", np.zeros(0, np.float32), "f32", 32, packing)
