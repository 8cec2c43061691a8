"""The float graph evaluated with torch: what calibration observes and what tests compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.errors import InputError
from lowbit.frontend import selecting, windows
from lowbit.frontend.pointwise import POINTWISE
from lowbit.graph import Graph, Node
from lowbit.graph.fixed_point import starts_of, weights_of
from lowbit.numerics import quantize

__all__ = ["OPERATIONS", "compute", "each_row", "evaluate"]

Watcher = Callable[[str, Tensor], None]
Shape = tuple[int, ...]
Each = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]  # how a function of rows is applied to a batch


def evaluate(
    graph: Graph, inputs: Sequence[Tensor], observe: Watcher | None = None, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Outputs of the float graph, before or after the passes, computed in ``dtype``; of one whose ``real`` is float16 inputs and
    results of operations are rounded to that.

    ``observe(name, value)`` is called for every input and every node, in order; ``value`` must not be
    changed.  A row's values do not depend on how many rows there are, to the last bit.  Values are
    dropped after their last reader.  Raises InputError for inputs whose number or shapes are not the
    graph's.
    """
    _check(graph, inputs)
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    with torch.inference_mode():
        values = {name: _held(graph, value.to(dtype)) for name, value in zip(graph.inputs, inputs, strict=True)}
        values.update({name: _tensor(array, dtype) for name, array in graph.constants.items()})
        if observe is not None:
            for name in graph.inputs:
                observe(name, values[name])
        for index, node in enumerate(graph.nodes):
            site = _rounding(graph, node) if node.op in ("quantize", "dequantize") else node
            value = OPERATIONS[node.op](site, graph.types[node.name].shape, each_row, *(values[name] for name in node.inputs))
            value = values[node.name] = _held(graph, value)
            if observe is not None:
                observe(node.name, value)
            for name in node.inputs:
                if last[name] == index and name not in graph.outputs:
                    values.pop(name, None)
        return [values[name] for name in graph.outputs]


def _held(graph: Graph, value: Tensor) -> Tensor:
    """As the value lies in memory."""
    rounds = graph.real == "float16" and value.is_floating_point()
    return value.to(torch.float16).to(value.dtype) if rounds else value


def compute(node: Node, shape: Shape, *values: Tensor) -> Tensor:
    """One operation of a float graph, all rows at once, differentiable.

    ``shape``: of the result; its first extent, and that of attributes that are shapes, must be the batch of ``values``.  Equal to
    what :func:`evaluate` gives up to the order of sums, which depends on the batch here."""
    return OPERATIONS[node.op](node, shape, _at_once, *values)


def _check(graph: Graph, inputs: Sequence[Tensor]) -> None:
    if len(inputs) != len(graph.inputs):
        raise InputError(f"{graph.name} takes {len(graph.inputs)} inputs ({', '.join(graph.inputs)}), got {len(inputs)}")
    for name, value in zip(graph.inputs, inputs, strict=True):
        if tuple(value.shape) != graph.types[name].shape:
            raise InputError(f"input {name} of {graph.name} has shape {graph.types[name].shape}, got {tuple(value.shape)}")


def _tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    array = array if array.flags.writeable else array.copy()  # torch warns about read-only memory
    return torch.from_numpy(array).to(dtype)


def _per_channel(value: Tensor, rank: int) -> Tensor:
    return value.reshape([-1 if axis == 1 else 1 for axis in range(rank)])


def _finish(node: Node, value: Tensor, extras: Sequence[Tensor] = ()) -> Tensor:
    """Fused residual and clamp; ``value`` is fresh, so both work in place.

    ReLU and ReLU6 are asked for by name where there are gradients: torch keeps no copy for these, and their derivative takes
    one pass."""
    if node.attrs.get("residual"):
        value.add_(extras[-1])
    lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
    if value.requires_grad and lo == 0 and hi is None:
        return F.relu_(value)
    if value.requires_grad and lo is not None and hi is not None:
        return F.hardtanh_(value, lo, hi)
    return value if lo is None and hi is None else value.clamp_(lo, hi)


def each_row(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of every row by itself, alone in memory: in which order torch sums, and which elements it gives to
    vector instructions (whose exp is another), depends on the batch and on addresses, and ranges shall not."""
    if x.dim() < 2 or x.shape[0] == 1:
        return function(_alone(x))
    return torch.cat([function(_alone(row)) for row in x.split(1)])


def _at_once(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x)


def _alone(x: Tensor) -> Tensor:
    """Contiguous, from an address on that torch's allocator could have given."""
    return x if x.is_contiguous() and x.data_ptr() % 64 == 0 else x.clone(memory_format=torch.contiguous_format)


def _conv2d(node: Node, _: Shape, each: Each, x: Tensor, weight: Tensor, *extras: Tensor) -> Tensor:
    top, left, bottom, right = node.attrs["padding"]
    padding: tuple[int, int] = (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    bias = _bias(node, extras)
    attrs = node.attrs
    steps = (attrs["stride"], padding, attrs["dilation"], attrs["groups"])
    return _finish(node, each(lambda row: F.conv2d(row, weight, bias, *steps), x), extras)


def _bias(node: Node, extras: Sequence[Tensor]) -> Tensor | None:
    count = len(extras) - bool(node.attrs.get("residual"))
    return extras[0] if count else None


def _linear(node: Node, _: Shape, each: Each, x: Tensor, weight: Tensor, *extras: Tensor) -> Tensor:
    bias = _bias(node, extras)
    return _finish(node, each(lambda row: F.linear(row, weight, bias), x), extras)


def _avg_pool2d(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    attrs = node.attrs
    return each(lambda row: windows.avg_pool(row, attrs["windows"], attrs["columns"], attrs["divisors"]), x)


def _batch_norm(node: Node, _: Shape, each: Each, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return each(lambda row: F.batch_norm(row, mean, var, weight, bias, False, 0.0, node.attrs["eps"]), x)


def _affine(node: Node, _: Shape, each: Each, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    rank = x.dim()
    return _finish(node, (x * _per_channel(scale, rank)).add_(_per_channel(shift, rank)))


def _unary(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    extra = {key: value for key, value in node.attrs.items() if key != "fn"}
    return each(lambda row: POINTWISE[node.attrs["fn"]](row, **extra), x)


def _normalize(node: Node, _: Shape, each: Each, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Statistics in float64, as the kernels take them."""
    attrs = node.attrs
    axis, groups = attrs["axis"], attrs["groups"]
    per_channel = [-1 if d == axis else 1 for d in range(x.dim())]

    def one(row: Tensor) -> Tensor:
        split = row.reshape(*row.shape[:axis], groups, row.shape[axis] // groups, *row.shape[axis + 1 :])
        over = tuple(range(axis + 1, split.dim())) if attrs["spatial"] else (axis + 1,)
        real = split.double()
        if attrs["centred"]:
            real = real - real.mean(over, keepdim=True)
        squares = (real * real).sum(over, keepdim=True)
        count = math.prod(split.shape[d] for d in over) if attrs["mean"] else 1
        root = torch.sqrt(squares / count + attrs["eps"]).clamp_min(attrs["floor"])
        return (real / root).reshape(row.shape).to(row.dtype) * weight.reshape(per_channel) + bias.reshape(per_channel)

    return _finish(node, one(x) if axis == 0 else each(one, x))


def _response_norm(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    """x / (k + alpha / size * sum of the squares of near channels)^beta; the sum in float64."""
    attrs, size = node.attrs, node.attrs["size"]

    def one(row: Tensor) -> Tensor:
        squares = F.pad(row.double() ** 2, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        total = sum(squares[:, place : place + row.shape[1]] for place in range(size))
        return (row.double() / (attrs["k"] + attrs["alpha"] / size * total) ** attrs["beta"]).to(row.dtype)

    return each(one, x)


def _matmul(node: Node, _: Shape, each: Each, x: Tensor, y: Tensor) -> Tensor:
    y = y.transpose(1, 2) if node.attrs["transposed"] else y
    if each is _at_once:
        return torch.matmul(x, y) * node.attrs["factor"]
    return torch.stack([torch.mm(_alone(a), _alone(b)) for a, b in zip(x, y, strict=True)]) * node.attrs["factor"]


def _softmax(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    axis, function = node.attrs["axis"], torch.log_softmax if node.attrs.get("log") else torch.softmax
    return function(x, axis) if axis == 0 else each(lambda row: function(row, axis), x)


def _argmax(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    return (torch.argmin if node.attrs["least"] else torch.argmax)(x, node.attrs["axis"])


def _slice(node: Node, shape: Shape, _: Each, x: Tensor) -> Tensor:
    ranges = zip(node.attrs["starts"], node.attrs["steps"], shape, strict=True)
    return x[tuple(slice(start, start + (count - 1) * step + 1, step) for start, step, count in ranges)]


def _resize(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    rows, columns = (
        (starts_of(node.attrs[axis]), torch.from_numpy(weights_of(node.attrs[axis])).to(x)) for axis in ("rows", "columns")
    )
    return each(lambda row: selecting.resize(row, rows, columns), x)


def _pad(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    pairs = zip(reversed(node.attrs["before"]), reversed(node.attrs["after"]), strict=True)
    return F.pad(x, [amount for pair in pairs for amount in pair], value=node.attrs["value"])


def _rounding(graph: Graph, node: Node) -> Node:
    """The node with the QParams of its integers as an attribute."""
    params = graph.types[node.name if node.op == "quantize" else node.inputs[0]].quant
    return node.with_attrs(params=params)


def _quantize(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    """The integers, kept in the type of ``x``."""
    params = node.attrs["params"]
    return torch.from_numpy(quantize(x.to(torch.float32).numpy(), params).astype(np.float32)).to(x.dtype)


def _dequantize(node: Node, _: Shape, each: Each, x: Tensor) -> Tensor:
    params = node.attrs["params"]
    return (x - params.zero_point) * float(params.scale)


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "affine": _affine,
    "clamp": lambda node, _, each, x: _finish(node, x.clone()),
    "unary": _unary,
    "softmax": _softmax,
    "normalize": _normalize,
    "response_norm": _response_norm,
    "matmul": _matmul,
    "add": lambda node, _, each, x, y: _finish(node, x + y),
    "sub": lambda node, _, each, x, y: _finish(node, x - y),
    "mul": lambda node, _, each, x, y: _finish(node, x * y),
    "maximum": lambda node, _, each, x, y: _finish(node, torch.maximum(x, y)),
    "minimum": lambda node, _, each, x, y: _finish(node, torch.minimum(x, y)),
    "concat": lambda node, _, each, *xs: torch.cat(xs, node.attrs["axis"]),
    "max_pool2d": lambda node, _, each, x: windows.max_pool(x, node.attrs["windows"], node.attrs["columns"]),
    "min_pool2d": lambda node, _, each, x: windows.min_pool(x, node.attrs["windows"], node.attrs["columns"]),
    "avg_pool2d": _avg_pool2d,
    "norm_pool2d": lambda node, _, each, x: each(
        lambda row: windows.norm_pool(row, node.attrs["windows"], node.attrs["columns"]), x
    ),
    "argmax": _argmax,
    "expand": lambda node, shape, each, x: x.expand(shape),
    "reshape": lambda node, shape, each, x: x.reshape(shape),
    "permute": lambda node, _, each, x: x.permute(node.attrs["dims"]),
    "slice": _slice,
    "take": lambda node, _, each, x: selecting.take(x, node.attrs),
    "interleave": lambda node, _, each, x: selecting.interleave(x, node.attrs),
    "resize": _resize,
    "pad": _pad,
    "quantize": _quantize,
    "dequantize": _dequantize,
}
