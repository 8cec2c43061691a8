"""Pooling over explicit windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.graph import Node
from lowbit.graph.bounds import CAPACITY, largest_pool_sum
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.program import NULL, Ref
from lowbit.numerics import multiplier

__all__ = ["lower_avg_pool", "lower_extreme_pool", "lower_norm_pool"]

_FLOATS = 1024  # float32 sums up to here are as good as their elements


def _windows(ctx: Lowering, node: Node) -> Ref:
    rows, columns = np.asarray(node.attrs["windows"], np.int32), np.asarray(node.attrs["columns"], np.int32)
    return ctx.tables.add(np.concatenate([rows[:, 0], rows[:, 1], columns[:, 0], columns[:, 1]]))


def lower_extreme_pool(fn: str) -> Callable[[Lowering, Node], None]:
    """Maximum or minimum, as the kernel names it."""

    def lower(ctx: Lowering, node: Node) -> None:
        (source,) = node.inputs
        spec = PoolSpec(fn=fn, src=ctx.layouts[source], dst=ctx.layouts[node.name])
        ctx.emit(node, spec, x=source, o=node.name, t=_windows(ctx, node), fill=ctx.stored(node.name).zero)

    return lower


def lower_norm_pool(ctx: Lowering, node: Node) -> None:
    """The root of the sum of squares over a window."""
    (source,), stored, given = node.inputs, ctx.stored(node.name), ctx.stored(node.inputs[0])
    s = NULL
    if stored.quant is not None:
        bounds = stored.result(node.attrs["qlo"], node.attrs["qhi"])
        s = ctx.constants.floats(*given.operand, bounds, multiplier(given.scale, stored.scale))
    spec = PoolSpec(fn="norm", src=ctx.layouts[source], dst=ctx.layouts[node.name], sign=stored.sign)
    ctx.emit(node, spec, x=source, o=node.name, s=s, t=_windows(ctx, node), fill=stored.zero)


def _elements(node: Node) -> int:
    """Elements of the largest window."""
    rows, columns = (max(b - a for a, b in node.attrs[axis]) for axis in ("windows", "columns"))
    return int(rows * columns)


def lower_avg_pool(ctx: Lowering, node: Node) -> None:
    """Integer: the sum of stored * step + shift over a window, times s_in / (s_out * divisor).  Sums that int32 might not
    hold, and floats of more than 1,024 elements, whose rounding errors would show, are float64."""
    (source,), stored = node.inputs, ctx.stored(node.name)
    divisors = np.asarray(node.attrs["divisors"], np.float64)
    given = ctx.stored(source)
    if stored.quant is None:
        s = ctx.constants.floats(1.0 / divisors)
        wide = _elements(node) > _FLOATS
    else:
        assert given.quant is not None
        qtype = stored.quant.qtype
        factors = multiplier(np.float64(given.scale), np.float64(stored.scale) * divisors)
        s = ctx.constants.floats(*given.operand, stored.result(qtype.qmin, qtype.qmax), factors)
        wide = largest_pool_sum(node, given.quant) > CAPACITY["int32"]
    spec = PoolSpec(fn="avg", src=ctx.layouts[source], dst=ctx.layouts[node.name], sign=stored.sign, wide=wide)
    ctx.emit(node, spec, x=source, o=node.name, s=s, t=_windows(ctx, node), fill=stored.zero)
