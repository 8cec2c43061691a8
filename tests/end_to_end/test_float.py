"""float32 networks stay within the rounding errors that their sums allow.

With u = 2^-24, a sum of K products and a bias, in any order, with or without fused multiply-adds, is off
by at most gamma(K + 2) (|W| |x| + |b|), gamma(n) = n u / (1 - n u) (Higham 2002, section 3.1); an error e
already in x adds |W| e.  So one walk over the graph carries a value computed in float64 and a bound on the
error of its float32 twin; each kind of node adds its own, given below.  It bounds what the float32
network may compute, not what it typically does, which is some hundred times closer.  Networks of many
layers, where such a bound says nothing any more, are in test_networks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowbit.frontend import evaluate
from lowbit.graph import Graph, Node
from lowbit.graph.ops import PASS_THROUGH
from lowbit.tracer import trace
from tests.end_to_end.check import build
from tests.frontend.cases import CASES, case

U = 2.0**-24
TINY = 2.0**-126  # what flushing a subnormal number loses


def gamma(n: int) -> float:
    return n * U / (1 - n * U)


# Steepest slope of each function (Lipschitz constant) over all reals.
SLOPE = {
    "abs": 1.0, "cos": 1.0, "elu": 1.0, "erf": 1.13, "gelu": 1.13, "gelu_tanh": 1.13, "hardsigmoid": 1 / 6, "hardswish": 1.5,
    "leaky_relu": 1.0, "logsigmoid": 1.0, "mish": 1.1, "selu": 1.76, "sigmoid": 0.25, "silu": 1.1, "sin": 1.0, "softplus": 1.0,
    "softsign": 1.0, "tanh": 1.0,
}  # fmt: skip
ULPS = 64  # what one evaluation of a function may be off, in units of u times the largest of |f|, |x| and 1

MOVES = (*PASS_THROUGH, "concat")
"""The largest or smallest of values that are off by e is off by e; the others copy."""


def _of(graph: Graph, node: Node, *operands: Tensor) -> Tensor:
    """This node alone on other operands, in float64 and without its clamp."""
    attrs = {**node.attrs, **({"lo": None, "hi": None} if "lo" in node.attrs else {})}
    names = tuple(f"operand{i}" for i in range(len(operands)))
    alone = replace(node, inputs=names, attrs=attrs)
    types = {name: graph.types[given] for name, given in zip(names, node.inputs, strict=False)}
    single = Graph("one", names, (node.name,), (alone,), types | {node.name: graph.types[node.name]})
    return evaluate(single, operands, dtype=torch.float64)[0]


def _layer(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    """|W| e + gamma(K + 3) (|W| (|x| + e) + |b| + |residual|), and the residual's own error."""
    products = int(np.prod(graph.types[node.inputs[1]].shape[1:]))
    size = [abs(value) + error for value, error in zip(x, e, strict=True)]
    error = [e[0], abs(x[1]), torch.zeros_like(x[2]), *e[3:]]
    return _of(graph, node, *error) + gamma(products + 3) * _of(graph, node, size[0], abs(x[1]), abs(x[2]), *size[3:])


def _sum(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    return (e[0] + e[1]) * (1 + U) + U * abs(_of(graph, node, *x))


def _product(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    error = abs(x[0]) * e[1] + abs(x[1]) * e[0] + e[0] * e[1]
    return error * (1 + U) + U * abs(_of(graph, node, *x))


def _affine(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    size = _of(graph, node, abs(x[0]) + e[0], abs(x[1]), abs(x[2]))
    return _of(graph, node, e[0], abs(x[1]), torch.zeros_like(x[2])) + gamma(4) * size  # scale and shift are rounded too


def _average(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    area = max(y1 - y0 for y0, y1 in node.attrs["windows"]) * max(x1 - x0 for x0, x1 in node.attrs["columns"])
    return _of(graph, node, e[0]) + gamma(area + 3) * _of(graph, node, abs(x[0]) + e[0])


def _function(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    y = _of(graph, node, *x)
    fn, error, size = node.attrs["fn"], e[0], torch.maximum(torch.maximum(abs(y), abs(x[0]) + e[0]), torch.ones_like(y))
    slope: Any = SLOPE.get(fn)
    if fn == "leaky_relu":
        slope = max(1.0, abs(node.attrs.get("alpha", 0.01)))
    elif fn == "elu":
        slope = max(1.0, abs(node.attrs.get("alpha", 1.0)))
    elif fn == "exp":
        slope = torch.exp(x[0] + error)
    elif fn == "sqrt":
        return torch.sqrt(error) + ULPS * U * size  # |sqrt a - sqrt b| <= sqrt |a - b|
    elif fn == "reciprocal":
        slope = 1 / torch.clamp(abs(x[0]) - error, min=TINY) ** 2
    elif fn in ("pow", "rsqrt"):
        p, near = node.attrs.get("exponent", -0.5), torch.clamp(abs(x[0]) - error, min=TINY)
        slope = abs(p) * torch.maximum((abs(x[0]) + error) ** (p - 1), near ** (p - 1))
    elif fn in ("square", "pow2"):
        slope = 2 * (abs(x[0]) + error)
    return slope * error + ULPS * U * size


def _softmax(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    """exp(x - max) and its sum are each off by a factor exp(+-2 e) (1 + (C + ULPS) u); the logarithm of the sum by as much."""
    axis = node.attrs["axis"]
    worst = e[0].amax(axis, keepdim=True)
    count = x[0].shape[axis]
    if node.attrs.get("log"):
        return 4 * worst + (count + 4 * ULPS + 4 * float(abs(x[0]).max())) * U
    return _of(graph, node, *x) * (torch.expm1(4 * worst) + (count + 4 * ULPS + 2 * float(abs(x[0]).max())) * U) + TINY


def _normalized(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    """(x - mean) / root * w + b.  With |e| at most E: the difference moves by 2 E, the root by at most the length of the errors,
    2 E again (sqrt n of it where squares are added up).  Statistics in float64, four float32 roundings a value."""
    attrs, axis = node.attrs, node.attrs["axis"]
    shape, groups = x[0].shape, attrs["groups"]
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    over = tuple(range(axis + 1, len(split))) if attrs["spatial"] else (axis + 1,)
    worst = e[0].reshape(split).amax(over, keepdim=True)
    real = x[0].reshape(split)
    real = real - real.mean(over, keepdim=True) if attrs["centred"] else real
    count = int(np.prod([split[d] for d in over]))
    spread = 2 * worst * (1 if attrs["mean"] else count**0.5)
    root = torch.sqrt((real * real).sum(over, keepdim=True) / (count if attrs["mean"] else 1) + attrs["eps"]).clamp_min(
        attrs["floor"]
    )
    near = (root - spread).clamp_min(max(attrs["eps"] ** 0.5, attrs["floor"]))
    unit = (abs(real) + 2 * worst) / near
    moved = (2 * worst / near + abs(real) / root * spread / near + 8 * U * unit).reshape(shape)
    per_channel = [-1 if d == axis else 1 for d in range(len(shape))]
    weight, bias = (abs(value).reshape(per_channel) for value in x[1:])
    level = U * abs(x[0]).max() / near.expand(split).reshape(shape)  # of the mean, which may be larger than what is left
    return (moved + level) * weight + 4 * U * (unit.reshape(shape) * weight + bias)


def _response(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    """Of x: |e| at most / k^beta; of the base, whose logarithm moves by alpha / size * sum of 2 |x| e + e^2 over base."""
    attrs, size = node.attrs, node.attrs["size"]
    sums = nn.functional.pad(2 * abs(x[0]) * e[0] + e[0] ** 2, (0, 0, 0, 0, size // 2, (size - 1) // 2))
    moved = sum(sums[:, place : place + x[0].shape[1]] for place in range(size)) * attrs["alpha"] / size / attrs["k"]
    y = abs(_of(graph, node, *x))
    return e[0] * attrs["k"] ** -attrs["beta"] + y * (2 * attrs["beta"] * moved + 8 * U)


def _matrix_product(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    size = [abs(value) + error for value, error in zip(x, e, strict=True)]
    sign = replace(node, attrs={**node.attrs, "factor": abs(node.attrs["factor"])})
    error = _of(graph, sign, e[0], size[1]) + _of(graph, sign, abs(x[0]), e[1])
    return error + gamma(x[0].shape[2] + 3) * _of(graph, sign, *size)


BOUND: dict[str, Callable[[Graph, Node, list[Tensor], list[Tensor]], Tensor]] = {
    "add": _sum,
    "affine": _affine,
    "avg_pool2d": _average,
    "conv2d": _layer,
    "linear": _layer,
    "matmul": _matrix_product,
    "maximum": lambda graph, node, x, e: torch.maximum(*e),
    "minimum": lambda graph, node, x, e: torch.maximum(*e),
    "normalize": _normalized,
    "resize": lambda graph, node, x, e: _weighted(graph, node, x, e),
    "response_norm": _response,
    "norm_pool2d": lambda graph, node, x, e: _of(graph, node, e[0]) + gamma(4) * _of(graph, node, abs(x[0]) + e[0]),
    "argmax": lambda graph, node, x, e: torch.zeros(()),  # no two values of the cases are that near
    "mul": _product,
    "softmax": _softmax,
    "sub": _sum,
    "unary": _function,
    "clamp": lambda graph, node, x, e: e[0],
    **dict.fromkeys(MOVES, lambda graph, node, x, e: _moved(graph, node, e)),
}


def _weighted(graph: Graph, node: Node, x: list[Tensor], e: list[Tensor]) -> Tensor:
    """Sums of a few products, first over rows, then over columns; the weights are rounded to float32."""
    attrs, count = dict(node.attrs), 0
    for axis in ("rows", "columns"):
        attrs[axis] = tuple((start, tuple(map(abs, weights))) for start, weights in node.attrs[axis])
        count += 2 + len(attrs[axis][0][1])
    sizes = replace(node, attrs=attrs)
    return _of(graph, sizes, e[0]) + gamma(count) * _of(graph, sizes, abs(x[0]) + e[0])


def _moved(graph: Graph, node: Node, e: list[Tensor]) -> Tensor:
    attrs = {**node.attrs, "value": 0.0} if node.op == "pad" else node.attrs
    return _of(graph, replace(node, attrs=attrs), *e)


def _value(graph: Graph, node: Node, x: list[Tensor]) -> Tensor:
    value = _of(graph, node, *x)
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    return value if lo is None and hi is None else torch.clamp(value, lo, hi)


def bounds(graph: Graph, inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
    """(float64 value, bound on the float32 error) of every output of a canonical float graph."""
    values = {name: x.double() for name, x in zip(graph.inputs, inputs, strict=True)}
    values |= {name: torch.from_numpy(np.array(constant)).double() for name, constant in graph.constants.items()}
    errors = {name: torch.zeros_like(value) for name, value in values.items()}
    for node in graph.nodes:
        x, e = [values[name] for name in node.inputs], [errors[name] for name in node.inputs]
        values[node.name] = _value(graph, node, x)
        # A clamp is 1-Lipschitz: it adds no more than the rounding of its limits to float32.
        limits = U * max((abs(node.attrs[k]) for k in ("lo", "hi") if node.attrs.get(k) is not None), default=0.0)
        errors[node.name] = BOUND[node.op](graph, node, x, e).expand(values[node.name].shape) + limits + TINY
    return [(values[name], errors[name]) for name in graph.outputs]


@pytest.mark.parametrize("name", sorted(CASES))
def test_cases_are_within_their_bound(name: str) -> None:
    model, example = case(name)
    graph = trace(model, example)
    outputs = build(graph, example, config="fp32").outputs(*(x.numpy() for x in example))
    for output, (value, bound) in zip(outputs, bounds(graph, example), strict=True):
        error = abs(output - value.numpy())
        assert np.isfinite(output).all()
        assert (error <= bound.numpy()).all(), f"{(error / bound.numpy()).max():.3g} times the bound"
        assert float(bound.max()) < 0.01 * max(1.0, float(abs(value).max()))  # it says something


def test_the_bound_notices_a_wrong_weight() -> None:
    """One weight of 216 off by a thousandth of the largest is more than rounding can do."""
    torch.manual_seed(0)
    model = nn.Conv2d(6, 4, 3).eval()
    x = torch.randn(1, 6, 8, 8)
    graph = trace(model, x)
    with torch.no_grad():
        model.weight[1, 2, 1, 1] += 1e-3 * float(abs(model.weight).max())
    output = build(model, x, config="fp32")(x.numpy())
    ((value, bound),) = bounds(graph, (x,))
    assert (abs(output - value.numpy()) > bound.numpy()).any()
