"""Shape inference: what each operation makes of the shapes it reads."""

from __future__ import annotations

import math

from lowbit.errors import GraphError
from lowbit.graph.ir import Node

__all__ = [
    "Shape",
    "affine_shape",
    "batch_norm_shape",
    "broadcast_shape",
    "concat_shape",
    "conv2d_shape",
    "expand_shape",
    "interleave_shape",
    "linear_shape",
    "matmul_shape",
    "normalize_shape",
    "pad_shape",
    "permute_shape",
    "pool_shape",
    "reduced_shape",
    "reshape_shape",
    "resize_shape",
    "response_shape",
    "same_shape",
    "slice_shape",
    "softmax_shape",
    "take_shape",
]

Shape = tuple[int, ...]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise GraphError(what)


def _layer_extras(node: Node, inputs: list[Shape], out: Shape, channels: int) -> Shape:
    """Checks [bias] and [residual] behind (x, weight)."""
    extras = inputs[2:]
    if node.attrs.get("residual"):
        _require(bool(extras), "attr residual is set but there is no residual input")
        _require(extras[-1] == out, f"residual of shape {extras[-1]} added to {out}")
        extras = extras[:-1]
    _require(len(extras) <= 1, f"{len(inputs)} inputs; a layer reads x, weight, bias and (attr residual) a residual")
    for bias in extras:
        _require(bias == (channels,), f"bias of shape {bias}, expected {(channels,)}")
    return out


def conv2d_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    x, w = inputs[:2]
    _require(len(x) == 4 and len(w) == 4, f"needs x NCHW and weight OIHW, got {x} and {w}")
    groups, stride, dilation = node.attrs["groups"], node.attrs["stride"], node.attrs["dilation"]
    top, left, bottom, right = node.attrs["padding"]
    _require(min(top, left, bottom, right) >= 0, f"negative padding {node.attrs['padding']}")
    _require(min(*stride, *dilation, groups) >= 1, "stride, dilation and groups must be at least 1")
    _require(
        x[1] == w[1] * groups and w[0] % groups == 0,
        f"{x[1]} input channels do not fit weight {w} in {groups} groups",
    )
    padded = (x[2] + top + bottom, x[3] + left + right)
    spatial = tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip(padded, w[2:], stride, dilation, strict=True))
    _require(min(spatial) >= 1, f"kernel {w[2:]} is larger than the padded input {padded}")
    return _layer_extras(node, inputs, (x[0], w[0], *spatial), w[0])


def linear_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    x, w = inputs[:2]
    _require(len(x) >= 2 and len(w) == 2, f"needs x of rank >= 2 and weight (O, I), got {x} and {w}")
    _require(x[-1] == w[1], f"x has {x[-1]} features, weight {w} reads {w[1]}")
    return _layer_extras(node, inputs, (*x[:-1], w[0]), w[0])


def _channelwise(inputs: list[Shape]) -> Shape:
    x, *parameters = inputs
    _require(len(x) >= 2, f"needs a channel axis 1, got shape {x}")
    for shape in parameters:
        _require(shape == (x[1],), f"parameter of shape {shape}, expected {(x[1],)}")
    return x


def batch_norm_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    return _channelwise(inputs)


def affine_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    return _channelwise(inputs)


def same_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    return inputs[0]


def softmax_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    axis = node.attrs["axis"]
    _require(0 <= axis < len(inputs[0]), f"axis {axis} of a tensor of shape {inputs[0]}")
    return inputs[0]


def matmul_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """(B, M, K) times (B, K, N), or (B, N, K) with ``transposed``."""
    x, y = inputs
    _require(len(x) == len(y) == 3 and x[0] == y[0], f"needs (B, M, K) and (B, K, N), got {x} and {y}")
    depth, columns = (y[2], y[1]) if node.attrs["transposed"] else (y[1], y[2])
    _require(x[2] == depth, f"{x[2]} columns of the left factor, {depth} rows of the right one")
    return (x[0], x[1], columns)


def normalize_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """Statistics over groups of one axis, and with ``spatial`` over all behind it (of a picture)."""
    (x, *parameters), attrs = inputs, node.attrs
    axis, groups = attrs["axis"], attrs["groups"]
    _require(0 <= axis < len(x), f"axis {axis} of a tensor of shape {x}")
    _require(groups >= 1 and x[axis] % groups == 0, f"{x[axis]} channels in {groups} groups")
    _require(
        (len(x), axis) == (4, 1) if attrs["spatial"] else groups == 1,
        f"spatial is for axis 1 of NCHW, groups are for it; x is {x}",
    )
    _require(attrs["eps"] >= 0 and attrs["floor"] >= 0, f"eps {attrs['eps']} and floor {attrs['floor']} must not be negative")
    for shape in parameters:
        _require(shape == (x[axis],), f"parameter of shape {shape}, expected {(x[axis],)}")
    return x


def response_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    (x,), attrs = inputs, node.attrs
    _require(len(x) == 4, f"needs x NCHW, got {x}")
    _require(
        attrs["size"] >= 1 and attrs["alpha"] >= 0, f"size {attrs['size']} must be positive, alpha {attrs['alpha']} not negative"
    )
    _require(0 <= attrs["beta"] < 8 and attrs["k"] > 0, f"beta {attrs['beta']} must lie in 0..8, k {attrs['k']} must be positive")
    return x


def broadcast_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    rank = max(map(len, inputs))
    rows = [(1,) * (rank - len(shape)) + shape for shape in inputs]
    _require(
        all(len({n for n in column if n != 1}) <= 1 for column in zip(*rows, strict=True)),
        f"shapes {' and '.join(map(str, inputs))} do not broadcast",
    )
    return tuple(max(column) if 0 not in column else 0 for column in zip(*rows, strict=True))


def concat_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    axis, first = node.attrs["axis"], inputs[0]
    _require(0 <= axis < len(first), f"axis {axis} of tensors of shape {first}")
    for shape in inputs[1:]:
        same = len(shape) == len(first) and all(a == b for d, (a, b) in enumerate(zip(first, shape, strict=True)) if d != axis)
        _require(same, f"cannot concatenate {shape} to {first} along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def pool_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    (x,) = inputs
    _require(len(x) == 4, f"needs x NCHW, got {x}")
    windows, columns = node.attrs["windows"], node.attrs["columns"]
    for ranges, size, axis in ((windows, x[2], "windows"), (columns, x[3], "columns")):
        bad = next((r for r in ranges if not 0 <= r[0] < r[1] <= size), None)
        _require(bad is None, f"{axis} holds {bad}, which is empty or outside 0..{size}")
    out = (x[0], x[1], len(windows), len(columns))
    if node.op == "avg_pool2d":
        divisors = node.attrs["divisors"]
        _require(
            len(divisors) == out[2] * out[3] and min(divisors) >= 1,
            f"needs {out[2] * out[3]} positive divisors, got {len(divisors)}",
        )
    return out


def expand_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    shape = tuple(node.attrs["shape"])
    (x,) = inputs
    fits = len(x) == len(shape) and all(old in (1, new) and new >= 1 for old, new in zip(x, shape, strict=True))
    _require(fits, f"cannot expand {x} to {shape}; only axes of extent 1 grow")
    return shape


def reduced_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """Without one axis."""
    axis, (x,) = node.attrs["axis"], inputs
    _require(0 <= axis < len(x), f"axis {axis} of a tensor of shape {x}")
    return (*x[:axis], *x[axis + 1 :])


def reshape_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    shape = tuple(node.attrs["shape"])
    _require(math.prod(shape) == math.prod(inputs[0]), f"cannot reshape {inputs[0]} to {shape}")
    return shape


def permute_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    dims = tuple(node.attrs["dims"])
    _require(sorted(dims) == list(range(len(inputs[0]))), f"dims {dims} do not permute the axes of {inputs[0]}")
    return tuple(inputs[0][d] for d in dims)


def slice_shape(node: Node, inputs: list[Shape], out: Shape) -> Shape:
    """The extents are the output type's own; checked against the input's."""
    (x,) = inputs
    starts, steps = node.attrs["starts"], node.attrs["steps"]
    _require(len(starts) == len(steps) == len(x) == len(out), f"starts, steps and output {out} need the rank of {x}")
    for start, step, count, size in zip(starts, steps, out, x, strict=True):
        _require(
            step >= 1 and start >= 0 and count >= 1 and start + (count - 1) * step < size,
            f"slice start {start} step {step} count {count} leaves an axis of {size}",
        )
    return out


def pad_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    before, after = node.attrs["before"], node.attrs["after"]
    (x,) = inputs
    _require(len(before) == len(after) == len(x), f"before and after need the rank of {x}")
    _require(min((*before, *after), default=0) >= 0, f"negative padding {before}, {after}; use slice")
    return tuple(b + n + a for b, n, a in zip(before, x, after, strict=True))


def take_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """``indices``: for each axis None (all of it) or the positions to read, any number of times and in any order."""
    (x,), indices = inputs, node.attrs["indices"]
    _require(len(indices) == len(x), f"indices {len(indices)} axes, x has {len(x)}")
    for axis, (chosen, size) in enumerate(zip(indices, x, strict=True)):
        if chosen is not None:
            bad = next((index for index in chosen if not 0 <= index < size), None)
            _require(bool(chosen) and bad is None, f"axis {axis} of {size} elements has no position {bad}")
    return tuple(size if chosen is None else len(chosen) for chosen, size in zip(indices, x, strict=True))


def interleave_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """``phases`` (PH, PW): x holds PH PW pictures side by side in its channels; ``rows``, ``columns``: for each of the result's
    (which of them, which row or column of it)."""
    (x,), (ph, pw), groups = inputs, node.attrs["phases"], node.attrs["groups"]
    _require(len(x) == 4, f"needs x NCHW, got {x}")
    _require(
        min(ph, pw, groups) >= 1 and x[1] % (ph * pw * groups) == 0, f"{x[1]} channels, {groups} groups of {ph} x {pw} phases"
    )
    for axis, count, size in (("rows", ph, x[2]), ("columns", pw, x[3])):
        listed = node.attrs[axis]
        bad = next((pair for pair in listed if not (0 <= pair[0] < count and 0 <= pair[1] < size)), None)
        _require(bool(listed) and bad is None, f"{axis}: {bad} of {count} phases of {size}")
    return (x[0], x[1] // (ph * pw), len(node.attrs["rows"]), len(node.attrs["columns"]))


def resize_shape(node: Node, inputs: list[Shape], _: Shape) -> Shape:
    """``rows``, ``columns``: for each of the result's (first one that is read, weights of it and of those behind it), equally
    many weights each."""
    (x,) = inputs
    _require(len(x) == 4, f"needs x NCHW, got {x}")
    for axis, size in (("rows", x[2]), ("columns", x[3])):
        taps = node.attrs[axis]
        counts = {len(weights) for _, weights in taps}
        _require(len(counts) == 1 and 0 not in counts, f"{axis}: {sorted(counts)} weights; each needs as many")
        bad = next((start for start, weights in taps if not 0 <= start <= size - len(weights)), None)
        _require(bad is None, f"{axis}: from {bad} on, of {size}")
        off = next((sum(weights) for _, weights in taps if not abs(sum(weights) - 1) <= 1e-5), None)
        _require(off is None, f"{axis}: weights that are {off} together; they must be 1")
    return (x[0], x[1], len(node.attrs["rows"]), len(node.attrs["columns"]))
