"""Bounds of accumulators and results: what fits is let through, what does not is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.errors import NumericsError, UnsupportedPrecision
from lowbit.graph import Graph, Node, TensorType
from lowbit.graph.bounds import check_bounds, largest_layer_sum, largest_pool_sum, span
from lowbit.numerics import QParams, QType


def _type(qtype: str, shape: tuple[int, ...], scale: float = 1.0, zero: int = 0, axis: int | None = None) -> TensorType:
    parsed = QType.parse(qtype)
    held = np.full(shape[0], scale, np.float32) if axis == 0 else np.float32(scale)
    return TensorType(shape, parsed.dtype.name, QParams(parsed, held, zero, axis=axis))


def _graph(node: Node, types: dict[str, TensorType], constants: dict[str, np.ndarray] | None = None) -> Graph:
    inputs = tuple(name for name in node.inputs if name not in (constants or {}))
    return Graph("g", inputs, (node.name,), (node,), types, constants or {})


def _linear(x: str, w: np.ndarray, weights: str = "i8", scales: tuple[float, float, float] = (1, 1, 1), out: str = "u8") -> Graph:
    types = {
        "x": _type(x, (1, w.shape[1]), scales[0]), "w": _type(weights, w.shape, scales[1], axis=0),
        "b": TensorType((len(w),), "int32"),
        "y": TensorType((1, len(w))) if out == "f32" else _type(out, (1, len(w)), scales[2]),
    }  # fmt: skip
    node = Node("y", "linear", ("x", "w", "b"), {"qlo": 0, "qhi": 255}, "net.py:3")
    return _graph(node, types, {"w": w, "b": np.zeros(len(w), np.int32)})


@pytest.mark.parametrize(
    ("qtype", "zero", "most"), [("u8", 7, 255), ("i8", -128, 255), ("b1", 0, 2), ("i16", 0, 32768), ("u1", 1, 1)]
)
def test_span_bounds_every_offset(qtype: str, zero: int, most: int) -> None:
    parsed = QType.parse(qtype)
    params = QParams(parsed, np.float32(1), zero)
    assert span(params) == most
    assert span(params) >= max(abs(parsed.qmin - zero), abs(parsed.qmax - zero))


def test_weights_prove_what_shapes_cannot() -> None:
    """100,000 products might be 100,000 * 255 * 128; of these weights they are not."""
    w = np.zeros((2, 100_000), np.int8)
    w[0, :1000], w[1, :3000] = 127, -1
    graph = _linear("u8", w)
    assert largest_layer_sum(graph, graph.nodes[0]) == 255 * 127 * 1000
    assert check_bounds(graph) is graph
    with pytest.raises(
        UnsupportedPrecision, match=r"y \(linear, net\.py:3\): u8 x i8 sums of up to 3238500000 do not fit the int32"
    ):
        check_bounds(_linear("u8", np.full((1, 100_000), 127, np.int8)))


def _pool(qtype: str, side: int) -> Graph:
    types = {"x": _type(qtype, (1, 1, side, side)), "y": _type(qtype, (1, 1, 1, 1))}
    node = Node(
        "y", "avg_pool2d", ("x",), {"windows": ((0, side),), "columns": ((0, side),), "divisors": (1,), "qlo": 0, "qhi": 1}
    )
    return _graph(node, types)


def test_sums_over_windows() -> None:
    graph = _pool("i16", 320)
    quant = graph.types["x"].quant
    assert quant is not None
    assert largest_pool_sum(graph.nodes[0], quant) == 320 * 320 * 32768 > 2**31
    check_bounds(graph)
    with pytest.raises(
        UnsupportedPrecision, match=r"y \(avg_pool2d\): sums over a window of up to \d{17} do not fit the float64"
    ):
        check_bounds(_pool("i16", 1 << 20))


def test_sums_of_exponentials() -> None:
    types = {"x": _type("i16", (1, 40)), "t": TensorType((65536,), "int32"), "y": TensorType((1, 40))}
    node = Node("y", "softmax", ("x", "t"), {"axis": 1})
    check_bounds(_graph(node, types, {"t": np.full(65536, 2**24, np.int32)}))
    with pytest.raises(
        UnsupportedPrecision, match=r"y \(softmax\): sums of exponentials of up to 2684354560 do not fit the int32"
    ):
        check_bounds(_graph(node, types, {"t": np.full(65536, 2**26, np.int32)}))


@pytest.mark.parametrize(
    ("op", "scales"),
    [("add", (2.0**100, 1.0, 2.0**-20)), ("sub", (1.0, 2.0**100, 2.0**-20)), ("mul", (2.0**60, 2.0**60, 1.0)),
     ("clamp", (2.0**100, 2.0**-40)), ("concat", (1.0, 2.0**100, 2.0**-40)), ("linear", (2.0**64, 2.0**64, 1.0))],
)  # fmt: skip
def test_scales_too_far_apart(op: str, scales: tuple[float, ...]) -> None:
    attrs = {"qlo": 0, "qhi": 255, **({"axis": 1} if op == "concat" else {})}
    if op == "linear":
        graph = _linear("u8", np.ones((1, 4), np.int8), scales=(scales[0], scales[1], scales[2]))
    else:
        types = {f"x{i}": _type("u8", (1, 4), s) for i, s in enumerate(scales[:-1])}
        node = Node("y", op, tuple(types), attrs)
        graph = _graph(node, types | {"y": _type("u8", (1, 4), scales[-1])})
    with pytest.raises(NumericsError, match=rf"y \({op}.*not finite in float32: the inputs have scale .*, the output"):
        check_bounds(graph)


def test_products_of_scales_that_vanish() -> None:
    w = np.ones((1, 4), np.int8)
    for out in ("f32", "b1"):
        with pytest.raises(NumericsError, match=r"y \(linear, net\.py:3\): the product of the scales .* is 0 in float32"):
            check_bounds(_linear("u8", w, scales=(2.0**-80, 2.0**-80, 1.0), out=out))
    check_bounds(_linear("u8", w, scales=(2.0**-80, 2.0**-80, 1.0)))  # integers of step 1: these results are 0
