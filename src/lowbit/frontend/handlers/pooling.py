"""Every pooling as explicit windows: one range of rows per output row, one of columns per column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import prod

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation

__all__ = ["adaptive_pool", "avg_pool", "avg_pool3d", "max_pool", "mean", "pooled", "reduce", "reduce_to", "total", "vector_norm"]

Ranges = tuple[tuple[int, int], ...]


def _per_axis(value: int | Sequence[int] | None, rank: int, default: Sequence[int] = ()) -> list[int]:
    values = [value] if isinstance(value, int) else list(value or default)
    return values * rank if len(values) == 1 else values


def _spatial(b: Builder, call: Call, rank: int) -> tuple[str, tuple[int, ...]]:
    """The input as (N, C, H, W), and its shape; one-dimensional input gets height 1."""
    x = activation(call, call.args["self"])
    shape = b.shape(x)
    if len(shape) != rank + 2:
        call.refuse(f"the input has shape {shape}; give it a batch axis, so that it has {rank + 2} axes")
    if rank == 1:
        x = b.reshape(call, x, (*shape[:2], 1, shape[2]))
    return x, b.shape(x)


def _regular(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Ranges:
    """Window k of ``out`` is [k*stride - padding, ... + kernel), cut to [0, size)."""
    starts = [index * stride - padding for index in range(out)]
    return tuple((max(start, 0), min(start + kernel, size)) for start in starts)


def _adaptive(size: int, out: int) -> Ranges:
    """Window k is [floor(k*size/out), ceil((k+1)*size/out))."""
    return tuple((index * size // out, -((-(index + 1) * size) // out)) for index in range(out))


def _area(rows: Ranges, columns: Ranges) -> tuple[int, ...]:
    return tuple((y1 - y0) * (x1 - x0) for y0, y1 in rows for x0, x1 in columns)


def pooled(b: Builder, call: Call, op: str, x: str, ranges: Sequence[Ranges], counted: Sequence[Ranges] = ()) -> Value:
    """``max_pool2d`` or ``avg_pool2d`` of ``x`` (N, C, spatial axes) over explicit windows of its one or two spatial axes;
    sums are divided by the area of the ``counted`` windows, which may reach into the padding."""
    shape = b.shape(x)
    if len(ranges) == 1:
        x, ranges = b.reshape(call, x, (*shape[:2], 1, shape[2])), (((0, 1),), *ranges)
        counted = (((0, 1),), *counted) if counted else ()
    return _finish(b, call, op, x, ranges[0], ranges[1], _area(*counted) if counted else ())


def _finish(b: Builder, call: Call, op: str, x: str, rows: Ranges, columns: Ranges, divisors: tuple[int, ...] = ()) -> Value:
    shape = (*b.shape(x)[:2], len(rows), len(columns))
    extra = {"divisors": divisors} if op == "avg_pool2d" else {}
    y = b.emit(call, op, [x], shape, windows=rows, columns=columns, **extra)
    return b.reshape(call, y, call.shape)


def max_pool(rank: int) -> Callable[[Builder, Call], tuple[Value, ...]]:
    """Largest value of each window; padding never wins."""

    def handle(b: Builder, call: Call) -> tuple[Value, ...]:
        if any(d != 1 for d in _per_axis(call.args["dilation"], rank)):
            call.refuse("dilated max pooling is not supported; dilation must be 1")
        x, shape = _spatial(b, call, rank)
        call.args.shape_only("ceil_mode")
        kernel = _per_axis(call.args["kernel_size"], rank)
        stride = _per_axis(call.args["stride"], rank, kernel)
        padding = _per_axis(call.args["padding"], rank)
        ranges = [
            _regular(size, out, *window)
            for size, out, *window in zip(shape[-rank:], call.shape[-rank:], kernel, stride, padding, strict=True)
        ]
        rows, columns = ranges if rank == 2 else [((0, 1),), *ranges]
        return (_finish(b, call, "max_pool2d", x, rows, columns),)

    return handle


def avg_pool(rank: int) -> Callable[[Builder, Call], Value]:
    """Sum of each window over a divisor: ``divisor_override``, else the window's area.

    With ``count_include_pad`` the area counts padding too, but not what ``ceil_mode`` adds beyond it.
    """

    def handle(b: Builder, call: Call) -> Value:
        x, shape = _spatial(b, call, rank)
        call.args.shape_only("ceil_mode")
        kernel = _per_axis(call.args["kernel_size"], rank)
        stride = _per_axis(call.args["stride"], rank, kernel)
        padding = _per_axis(call.args["padding"], rank)
        ranges, counted = [], []
        for size, out, k, s, p in zip(shape[-rank:], call.shape[-rank:], kernel, stride, padding, strict=True):
            ranges.append(_regular(size, out, k, s, p))
            padded = tuple((o * s - p, min(o * s - p + k, size + p)) for o in range(out))
            counted.append(padded if call.args["count_include_pad"] else ranges[-1])
        if rank == 1:
            ranges, counted = [((0, 1),), *ranges], [((0, 1),), *counted]
        override = call.args.get("divisor_override")
        if override is not None and override < 1:
            call.refuse(f"divisor_override {override}; it must be positive")
        divisors = (int(override),) * (len(ranges[0]) * len(ranges[1])) if override else _area(*counted)
        return _finish(b, call, "avg_pool2d", x, ranges[0], ranges[1], divisors)

    return handle


def avg_pool3d(b: Builder, call: Call) -> Value:
    """Along the first of three spatial axes alone, without padding: what a local response norm is made of."""
    call.args.without_effect("count_include_pad", "divisor_override")
    call.args.shape_only("ceil_mode")
    x, kernel = activation(call, call.args["self"]), _per_axis(call.args["kernel_size"], 3)
    stride, shape = _per_axis(call.args["stride"], 3, kernel), b.shape(x)
    along = kernel[1:] == stride[1:] == [1, 1] and stride[0] == 1 and not any(_per_axis(call.args["padding"], 3))
    if len(shape) != 5 or not along or call.args["divisor_override"] is not None:
        call.refuse("3 spatial axes (video, volumes); supported are 1 and 2: fold one axis into the batch or the channels")
    flat = b.reshape(call, x, (*shape[:3], prod(shape[3:])))
    rows = _regular(shape[2], shape[2] - kernel[0] + 1, kernel[0], 1, 0)
    columns = _regular(prod(shape[3:]), prod(shape[3:]), 1, 1, 0)
    return _finish(b, call, "avg_pool2d", flat, rows, columns, _area(rows, columns))


def adaptive_pool(op: str, rank: int) -> Callable[[Builder, Call], tuple[Value, ...]]:
    """Windows that cover the input evenly, for any output size."""

    def handle(b: Builder, call: Call) -> tuple[Value, ...]:
        x, shape = _spatial(b, call, rank)
        call.args.shape_only("output_size")
        ranges = [_adaptive(size, out) for size, out in zip(shape[-rank:], call.shape[-rank:], strict=True)]
        rows, columns = ranges if rank == 2 else [((0, 1),), *ranges]
        return (_finish(b, call, op, x, rows, columns, _area(rows, columns)),)

    return handle


def reduce(b: Builder, call: Call, op: str, divide: bool = True, x: str | None = None) -> Value:
    """Any axes: kept ones first, reduced ones last, as rows and columns of one picture.  ``x``: in place of the operand."""
    x = activation(call, call.args["self"]) if x is None else x
    shape = b.shape(x)
    rank = len(shape)
    dims = call.args.get("dim")
    call.args.shape_only("keepdim")
    if not rank:
        return x
    axes = sorted({axis % rank for axis in ([dims] if isinstance(dims, int) else dims or range(rank))})
    if rank != 4 or not set(axes) <= {2, 3}:
        kept = [axis for axis in range(rank) if axis not in axes]
        x = b.permute(call, x, (*kept, *axes))
        batch = shape[0] if 0 in kept else 1
        x = b.reshape(call, x, (batch, prod(shape[axis] for axis in kept) // batch, 1, prod(shape[axis] for axis in axes)))
        axes = [2, 3]
    height, width = b.shape(x)[2:]
    rows = ((0, height),) if 2 in axes else _regular(height, height, 1, 1, 0)
    columns = ((0, width),) if 3 in axes else _regular(width, width, 1, 1, 0)
    areas = _area(rows, columns)
    return _finish(b, call, op, x, rows, columns, areas if divide else (1,) * len(areas))


def mean(b: Builder, call: Call) -> Value:
    """Mean over any axes (all of them without ``dim``)."""
    return reduce(b, call, "avg_pool2d")


def total(b: Builder, call: Call) -> Value:
    """Sum over any axes: an average whose divisor is 1."""
    return reduce(b, call, "avg_pool2d", divide=False)


def reduce_to(op: str) -> Callable[[Builder, Call], Value]:
    """``amax`` and ``amin`` over any axes."""
    return lambda b, call: reduce(b, call, op)


def vector_norm(b: Builder, call: Call) -> Value:
    """(sum |x|^p)^(1/p) over any axes, for p = 2, 1, inf (the largest |x|) and -inf (the smallest)."""
    p = call.args["ord"] if "ord" in call.args else call.args.get("p", 2)
    p = 2.0 if p is None else float(p)
    x = activation(call, call.args["self"])
    if p == 2 and b.shape(x):
        return reduce(b, call, "norm_pool2d")
    if p != 2 and p not in _OTHERS:
        call.refuse(f"a norm of order {p}; supported are 2, 1, inf and -inf")
    return reduce(b, call, _OTHERS.get(p, ""), divide=False, x=b.emit(call, "unary", [x], b.shape(x), fn="abs"))


_OTHERS = {1.0: "avg_pool2d", math.inf: "max_pool2d", -math.inf: "min_pool2d"}
