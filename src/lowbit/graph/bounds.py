"""How large the accumulators and the results of an integer graph can become, whatever its inputs.

Bounds follow from shapes and types; where those do not suffice, from the weights.  docs/numerics.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from lowbit.errors import NumericsError, UnsupportedPrecision
from lowbit.graph.fixed_point import fraction_bits, whole_weights
from lowbit.graph.ir import Graph, Node
from lowbit.graph.oracle.layers import effective_weights
from lowbit.graph.oracle.result import params_of
from lowbit.numerics import QParams

__all__ = [
    "CAPACITY",
    "accumulator_of",
    "check_bounds",
    "is_wide",
    "largest_layer_sum",
    "largest_pool_sum",
    "largest_product_sum",
    "require",
    "span",
]

CAPACITY = {"int32": 2**31 - 1, "float64": 2**53}
"""Accumulator -> the largest magnitude up to which it holds every integer."""

_REAL = 2.0**127  # float32 holds everything below
_TINY = 2.0**-149  # its smallest number


def require(where: str, what: str, largest: int, accumulator: str, advice: str) -> None:
    """Raises UnsupportedPrecision where ``largest`` does not fit."""
    if largest > CAPACITY[accumulator]:
        raise UnsupportedPrecision(f"{where}: {what} of up to {largest} do not fit the {accumulator} accumulator; {advice}")


def span(params: QParams) -> int:
    """A bound on |q - zero_point|, and on both terms of stored * step + shift, which make it."""
    qtype, z = params.qtype, params.zero_point
    if qtype.bits == 16:
        return max(-qtype.qmin, qtype.qmax) + abs(z)
    return qtype.qmax - qtype.qmin


def is_wide(x: QParams, weight: QParams) -> bool:
    """Whether a layer's sums are held in float64 (operands of 16 bits) instead of int32."""
    return max(x.qtype.bits, weight.qtype.bits) > 8


def largest_layer_sum(graph: Graph, node: Node) -> int:
    """Bound on the magnitude of every partial sum of conv2d or linear, with its bias.

    K products of at most span * 2^(bits - 1), if that is enough (wide: w = 256 * high + low, whose parts are at most
    |w| + 256 together); else the largest sum of |w| of a channel."""
    x, weight = (params_of(graph.types[name]) for name in node.inputs[:2])
    w = graph.constants[node.inputs[1]]
    wide = is_wide(x, weight)
    bias = int(np.abs(graph.constants[node.inputs[2]].astype(np.int64)).max(initial=0))
    products, most = w[0].size, 1 << max(weight.qtype.bits - 1, 7)
    largest = products * span(x) * (most + (256 if wide else 0)) + bias
    if largest <= CAPACITY["float64" if wide else "int32"]:
        return largest
    sums = np.abs(effective_weights(w, graph.types[node.inputs[1]]).astype(np.int64)).reshape(len(w), -1).sum(1)
    return span(x) * (int(sums.max(initial=0)) + (256 * products if wide else 0)) + bias


def largest_pool_sum(node: Node, x: QParams) -> int:
    """Bound on the sum over any window, and on both of its terms, of stored values and of shifts."""
    rows, columns = (max(b - a for a, b in node.attrs[axis]) for axis in ("windows", "columns"))
    return int(rows * columns * span(x))


def _scales(graph: Graph, node: Node) -> tuple[list[float], float]:
    """Scales of the quantized inputs (the largest of each) and of the output (1 for float32), in float64."""
    quants = [graph.types[name].quant for name in node.inputs]
    out = graph.types[node.name].quant
    return [float(q.scale.max()) for q in quants if q is not None], 1.0 if out is None else float(out.scale)


def _layer(graph: Graph, node: Node) -> float:
    """Largest |acc| * m + |v_r| * m_r."""
    x, weight = (params_of(graph.types[name]) for name in node.inputs[:2])
    (s_x, s_w, *s_r), s_out = _scales(graph, node)
    wide, largest = is_wide(x, weight), largest_layer_sum(graph, node)
    advice = "split the layer" if wide else "use 16-bit activations for this layer"
    require(_where(node), f"{x.qtype} x {weight.qtype} sums", largest, "float64" if wide else "int32", advice)
    f = largest * (s_x * s_w / s_out)
    smallest = s_x * float(weight.scale.min()) / s_out
    out = graph.types[node.name].quant
    if smallest < _TINY and (out is None or out.qtype.bipolar):
        raise NumericsError(
            f"{_where(node)}: the product of the scales {s_x:.4g} (input) and {weight.scale.min():.4g} (weights) is 0 in "
            "float32, and so would be all results; scale the layer's weights or inputs up"
        )
    return f + (span(params_of(graph.types[node.inputs[-1]])) * (s_r[0] / s_out) if s_r else 0.0)


def _binary(graph: Graph, node: Node) -> float:
    (a, b), s_out = _scales(graph, node)
    first, second = (span(params_of(graph.types[name])) for name in node.inputs)
    if node.op == "mul":
        return first * second * (a * b / s_out)
    return first * (a / s_out) + second * (b / s_out)


def _affine(graph: Graph, node: Node) -> float:
    scale, shift = (np.abs(graph.constants[name].astype(np.float64)).max(initial=0) for name in node.inputs[1:])
    return float(span(params_of(graph.types[node.inputs[0]])) * scale + shift)


def _rescaled(graph: Graph, node: Node) -> float:
    scales, s_out = _scales(graph, node)
    return max(span(params_of(graph.types[name])) * (s / s_out) for name, s in zip(node.inputs, scales, strict=True))


def _pool(graph: Graph, node: Node) -> float:
    largest = largest_pool_sum(node, params_of(graph.types[node.inputs[0]]))
    require(_where(node), "sums over a window", largest, "float64", "pool in two steps")
    (s_x,), s_out = _scales(graph, node)
    return largest * (s_x / (s_out * min(node.attrs["divisors"])))


def _resize(graph: Graph, node: Node) -> float:
    """The rows' sums in int32, all in int32 or, of 16 bits, in float64; the weights of a result are 2^bits together, or more
    where some are negative."""
    x = params_of(graph.types[node.inputs[0]])
    bits = fraction_bits(x.qtype)
    rows, columns = (int(np.abs(whole_weights(node.attrs[axis], bits)).sum(1).max()) for axis in ("rows", "columns"))
    require(_where(node), "weighted sums of rows", rows * span(x), "int32", "give this value fewer bits")
    require(_where(node), "weighted sums", rows * columns * span(x), accumulator_of(x), "give this value fewer bits")
    (s_x,), s_out = _scales(graph, node)
    return rows * columns * span(x) * (s_x / (s_out * 2.0 ** (2 * bits)))


def accumulator_of(x: QParams) -> str:
    """What the weighted sums of a resize of such values are held in."""
    return "float64" if x.qtype.bits > 8 else "int32"


def _norm_pool(graph: Graph, node: Node) -> float:
    x = params_of(graph.types[node.inputs[0]])
    rows, columns = (max(b - a for a, b in node.attrs[axis]) for axis in ("windows", "columns"))
    require(_where(node), "sums of squares over a window", rows * columns * span(x) ** 2, "float64", "take the norm in two steps")
    (s_x,), s_out = _scales(graph, node)
    return float(rows * columns) ** 0.5 * span(x) * (s_x / s_out)


def largest_product_sum(graph: Graph, node: Node) -> int:
    """Bound on every partial sum of a matrix product of two activations."""
    depth = graph.types[node.inputs[0]].shape[2]
    first, second = (span(params_of(graph.types[name])) for name in node.inputs)
    return int(depth * first * second)


def _matmul(graph: Graph, node: Node) -> float:
    largest = largest_product_sum(graph, node)
    require(_where(node), "sums of products", largest, "float64", "split the product, or give its operands fewer bits")
    (a, b), s_out = _scales(graph, node)
    return largest * (a * b * abs(node.attrs["factor"]) / s_out)


def _normalize(graph: Graph, node: Node) -> float:
    """|v - mean| <= sqrt(var), so a value without weight and shift is at most sqrt(d) (d = n, or 1 of lengths)."""
    x, shape, attrs = params_of(graph.types[node.inputs[0]]), graph.types[node.name].shape, node.attrs
    behind = shape[attrs["axis"] + 1 :] if attrs["spatial"] else ()
    count = math.prod((shape[attrs["axis"]] // attrs["groups"], *behind))
    advice = "give this value fewer bits, or its groups fewer elements"
    require(_where(node), "sums of squares over a group", count * span(x) ** 2, "float64", advice)
    weight, bias = (np.abs(graph.constants[name].astype(np.float64)).max(initial=0) for name in node.inputs[1:])
    return float((2.0 * count if attrs["mean"] else 1.0) ** 0.5 * weight + bias)


def _response_norm(graph: Graph, node: Node) -> float:
    """base is at least k."""
    x, attrs = params_of(graph.types[node.inputs[0]]), node.attrs
    require(_where(node), "sums of squares over a window", attrs["size"] * span(x) ** 2, "float64", "take a smaller window")
    (s_x,), s_out = _scales(graph, node)
    return span(x) * float(max(attrs["k"] ** -attrs["beta"], 1.0)) * (s_x / s_out)


def _softmax(graph: Graph, node: Node) -> float:
    entry = int(graph.constants[node.inputs[1]].max(initial=0))
    largest = entry * graph.types[node.name].shape[node.attrs["axis"]]
    require(_where(node), "sums of exponentials", largest, "int32", "the table must be smaller")
    (s_x,), s_out = _scales(graph, node)
    x = params_of(graph.types[node.inputs[0]]).qtype
    farthest = (x.qmax - x.qmin) * s_x + math.log(largest / entry) if node.attrs.get("log") else 1.0
    return farthest / s_out


_LARGEST: dict[str, Callable[[Graph, Node], float]] = {
    "add": _binary,
    "affine": _affine,
    "avg_pool2d": _pool,
    "clamp": _rescaled,
    "concat": _rescaled,
    "conv2d": _layer,
    "linear": _layer,
    "matmul": _matmul,
    "maximum": _binary,
    "minimum": _binary,
    "mul": _binary,
    "norm_pool2d": _norm_pool,
    "normalize": _normalize,
    "resize": _resize,
    "response_norm": _response_norm,
    "softmax": _softmax,
    "sub": _binary,
}
"""Operation -> the largest |f| of its results, in units of the output's scale; checks its accumulator on the way."""


def _where(node: Node) -> str:
    return f"{node.name} ({node.op}{f', {node.source}' if node.source else ''})"


def _integer_nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        if node.op in _LARGEST and graph.types[node.inputs[0]].quant is not None:
            yield node


def check_bounds(graph: Graph) -> Graph:
    """The graph, if every accumulator of its integer operations holds every sum, and every result is finite in float32.

    Raises UnsupportedPrecision naming layer, bound and accumulator; NumericsError where scales are so far apart that a
    result leaves float32, or all results of a last layer vanish."""
    for node in _integer_nodes(graph):
        largest = _LARGEST[node.op](graph, node)
        if not largest < _REAL:
            scales, s_out = _scales(graph, node)
            given = " and ".join(f"{s:.4g}" for s in scales)
            raise NumericsError(
                f"{_where(node)}: results of up to {largest:.3g} steps of the output are not finite in float32: "
                f"the inputs have scale {given}, the output {s_out:.4g}; bring these scales closer together"
            )
    return graph
