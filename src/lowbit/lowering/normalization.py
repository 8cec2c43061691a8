"""Normalisation by statistics of the values themselves: one kernel where they are those of a pixel, else three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.graph import Node
from lowbit.graph.powers import STEPS
from lowbit.kernels.layout import Layout
from lowbit.kernels.normalize.spec import LayerNormSpec, MomentsSpec, NormalizeSpec, StatisticsSpec
from lowbit.kernels.response_norm.spec import ResponseNormSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import emit_from_rows, emit_to_rows
from lowbit.lowering.elementwise import float_bounds, per_channel
from lowbit.lowering.program import NULL, Ref
from lowbit.numerics import multiplier

__all__ = ["lower_normalize", "lower_response_norm"]


def lower_normalize(ctx: Lowering, node: Node) -> None:
    """Over channels of each pixel: a layer norm kernel; an axis that is none of channels is copied there and back, and so are
    groups of channels, as pixels of their own.  Over whole pictures: sums of rows, statistics of groups, and the values."""
    if node.attrs["spatial"]:
        _over_pictures(ctx, node)
        return
    (source, weight, bias), attrs = node.inputs, node.attrs
    rank = len(ctx.type(source).shape)
    x, out = source, node.name
    moved = attrs["axis"] != (1 if rank == 4 else rank - 1)
    if moved:
        x, out = f"{node.name}.rows", f"{node.name}.result"
        emit_to_rows(ctx, node, source, attrs["axis"], x)
        ctx.temporary(out, replace(ctx.layouts[x], dtype=ctx.layouts[node.name].dtype))
    stored = ctx.stored(node.name)
    w, b = (per_channel(ctx, ctx.graph.constants[name], ctx.layouts[out]) for name in (weight, bias))
    spec = LayerNormSpec(src=ctx.layouts[x], dst=ctx.layouts[out], centred=attrs["centred"], mean=attrs["mean"], sign=stored.sign)
    ctx.emit(node, spec, x=x, r=_constants(ctx, node), w=w, b=b, s=_scalars(ctx, node), o=out, fill=stored.zero)
    if moved:
        emit_from_rows(ctx, node, out, attrs["axis"])


def _constants(ctx: Lowering, node: Node) -> Ref:
    """eps and floor in units of the input's integers, float64."""
    scale = np.float64(ctx.stored(node.inputs[0]).scale)
    return ctx.constants.add(np.array([np.float64(node.attrs["eps"]) / (scale * scale), np.float64(node.attrs["floor"]) / scale]))


def _scalars(ctx: Lowering, node: Node) -> Ref:
    stored = ctx.stored(node.name)
    if stored.quant is None:
        return ctx.constants.floats(*float_bounds(node))
    return ctx.constants.floats(*ctx.stored(node.inputs[0]).operand, stored.result(node.attrs["qlo"], node.attrs["qhi"]))


def _over_pictures(ctx: Lowering, node: Node) -> None:
    (source, weight, bias), attrs = node.inputs, node.attrs
    src, dst, stored = ctx.layouts[source], ctx.layouts[node.name], ctx.stored(node.name)
    stride = -(-src.c // 16) * 16
    rows = ctx.temporary(f"{node.name}.sums", Layout(src.n, src.h, 2, src.c, stride, "f64"))
    table = ctx.temporary(f"{node.name}.statistics", Layout(src.n, 1, 3, src.c, stride, "f32"))
    given = ctx.stored(source)
    s = NULL if given.quant is None else ctx.constants.floats(*given.operand)
    ctx.emit(node, MomentsSpec(src=src, dst=ctx.layouts[rows]), x=source, s=s, o=rows)
    spec = StatisticsSpec(
        src=ctx.layouts[rows],
        dst=ctx.layouts[table],
        area=src.h * src.w,
        groups=attrs["groups"],
        exact=given.quant is not None,
        centred=attrs["centred"],
        mean=attrs["mean"],
    )
    w = per_channel(ctx, ctx.graph.constants[weight], ctx.layouts[table])
    ctx.emit(node, spec, x=rows, r=_constants(ctx, node), w=w, o=table)
    applied = NormalizeSpec(src=src, table=ctx.layouts[table], dst=dst, sign=stored.sign)
    b = per_channel(ctx, ctx.graph.constants[bias], dst)
    ctx.emit(node, applied, x=source, r=table, b=b, s=_scalars(ctx, node), o=node.name, fill=stored.zero)


def lower_response_norm(ctx: Lowering, node: Node) -> None:
    """Over near channels of each pixel."""
    (source,), attrs, stored = node.inputs, node.attrs, ctx.stored(node.name)
    given = ctx.stored(source)
    scale = np.float64(given.scale)
    r = ctx.constants.add(np.array([np.float64(attrs["k"]), np.float64(attrs["alpha"]) / attrs["size"] * (scale * scale)]))
    s = NULL
    if stored.quant is not None:
        bounds = stored.result(attrs["qlo"], attrs["qhi"])
        s = ctx.constants.floats(*given.operand, bounds, multiplier(given.scale, stored.scale))
    power = round(attrs["beta"] * STEPS)
    spec = ResponseNormSpec(
        src=ctx.layouts[source], dst=ctx.layouts[node.name], size=attrs["size"], power=power, sign=stored.sign
    )
    ctx.emit(node, spec, x=source, r=r, s=s, o=node.name, fill=stored.zero)
