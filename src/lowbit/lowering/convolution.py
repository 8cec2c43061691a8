"""Convolutions and linear layers: the kernel's problem, its constants, its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lowbit.graph import Node
from lowbit.graph.bounds import CAPACITY, require
from lowbit.graph.ops import channel_multiplier
from lowbit.kernels.conv2d.pack import split_parts
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.geometry import ConvGeometry, results_bounded
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.packing import Packing
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import emit_from_rows, emit_to_rows, row_layout
from lowbit.lowering.elementwise import float_bounds
from lowbit.lowering.program import NULL, Ref
from lowbit.numerics import multiplier
from lowbit.numerics.float_products import FLOAT32
from lowbit.numerics.groups import expand_groups

__all__ = ["emit_choice", "lower_convolution"]


class _Layer:
    """Everything the two kinds of convolution kernels ask of one node."""

    def __init__(self, ctx: Lowering, node: Node) -> None:
        self.node = node
        self.source, self.weight, self.bias = node.inputs[:3]
        self.residual = node.inputs[3] if node.attrs.get("residual") else None
        self.x, self.out = ctx.stored(self.source), ctx.stored(node.name)
        self.src, self.dst, self.result = ctx.layouts[self.source], ctx.layouts[node.name], node.name
        self.quant = ctx.type(self.weight).quant
        values = np.asarray(ctx.graph.constants[self.weight])
        self.values = np.ascontiguousarray(values.transpose(0, 2, 3, 1) if values.ndim == 4 else values[:, None, None, :])  # OHWI
        bits = 32 if self.quant is None else self.quant.qtype.bits
        self.wide = self.quant is not None and (bits > 8 or self.x.dtype == "i16")
        self.group_scale = None if self.quant is None else self.quant.group_scale
        self.effective = self.values
        if self.group_scale is not None and self.quant is not None and self.quant.group_size:
            factor = expand_groups(self.group_scale, self.quant.group_size, self.values.shape[-1])
            self.effective = self.values * factor[:, None, None, :]

    def move_last_axis(self, ctx: Lowering) -> None:
        """For a linear layer on a rank-4 tensor: its last axis is no channel axis of the layout, so the
        operands are copied to rows first, and the result is made in rows."""
        rows = f"{self.node.name}.rows"
        emit_to_rows(ctx, self.node, self.source, 3, rows)
        self.source, self.src = rows, ctx.layouts[rows]
        if self.residual is not None:
            emit_to_rows(ctx, self.node, self.residual, 3, f"{rows}.residual")
            self.residual = f"{rows}.residual"
        self.dst = row_layout(ctx.type(self.node.name).shape, 3, self.dst.dtype)
        self.result = ctx.temporary(f"{self.node.name}.result", self.dst)

    @property
    def act_max(self) -> int:
        """Largest magnitude of a stored activation."""
        if self.x.quant is None:
            return 0
        qtype = self.x.quant.qtype
        return -qtype.qmin if self.x.dtype == "i16" else self.x.largest

    def few_residuals(self, ctx: Lowering) -> bool:
        """``ConvGeometry.few_residuals``."""
        if self.residual is None or self.quant is None:
            return False
        given = ctx.stored(self.node.inputs[3])
        return given.dtype == "u8" and given.largest <= 15

    def bounded(self, ctx: Lowering) -> bool:
        """``ConvGeometry.bounded``."""
        integers = self.quant is not None and not self.wide and self.out.dtype == "u8"
        if self.residual is not None and ctx.stored(self.node.inputs[3]).dtype != "u8":
            return False
        return integers and results_bounded(self.multipliers(), self.residual_operand(ctx)[2])

    @property
    def acc_shift(self) -> int:
        return self.x.step - 1

    @property
    def reach(self) -> np.ndarray:
        """int64[N]: a bound on the magnitude of each channel's sum."""
        total = np.abs(np.asarray(self.effective, np.int64)).sum((1, 2, 3))
        return np.asarray(total * self.act_max << self.acc_shift)

    @property
    def parts_fit(self) -> bool:
        """Whether int32 holds the sums of the high and of the low parts of the weights (16-bit operands; else one sum)."""
        if not self.wide:
            return True
        parts = split_parts(np.asarray(self.effective, np.int64))
        return self.act_max * max(int(np.abs(part).sum((1, 2, 3)).max(initial=0)) for part in parts) <= CAPACITY["int32"]

    @property
    def weight_text(self) -> str:
        return self.x.dtype if self.quant is None else str(self.quant.qtype)

    @property
    def act_text(self) -> str:
        """Of the whole type: where it ends, kernels know from ``act_max``."""
        return self.x.dtype if self.x.quant is None else str(self.x.quant.qtype.whole)

    def integer_bias(
        self, ctx: Lowering, lanes: int, offset: np.ndarray | int = 0, rows: np.ndarray | Sequence[np.ndarray] = ()
    ) -> Ref:
        """b[n] = bias + (off - zero_point) * sum_k w[n, k] + offset[n]: what turns the kernel's sum over
        stored activations into one over q - zero_point.  ``offset``: what the kernel's form leaves out;
        ``rows``: what follows the bias, ``lanes`` numbers each."""
        taps = tuple(range(1, 4))
        total = np.asarray(self.effective, np.int64).sum(taps)
        bias = np.asarray(ctx.graph.constants[self.bias], np.int64) + (self.x.off - self.x.zero_point) * total + offset
        if not self.wide:
            where, what = f"{self.node.name} ({self.node.op})", f"{self.act_text} x {self.weight_text} sums"
            largest = int((self.reach + np.abs(bias)).max(initial=0))
            require(where, what, largest, "int32", "use 16-bit activations for this layer")
        padded = np.zeros((1 + len(rows), lanes), np.float64 if self.wide else np.int32)
        for row, values in zip(padded, (bias, *rows), strict=True):
            row[: len(values)] = values
        return ctx.constants.add(padded)

    def integer_scales(self, ctx: Lowering, lanes: int) -> Ref:
        """s = [multiplier[lanes] | lo, hi, zero, r_step, r_shift, r_multiplier]."""
        factors = np.zeros(lanes, np.float32)
        factors[: self.dst.c] = self.multipliers()
        if self.out.quant is None:
            bounds = [*float_bounds(self.node), 0.0]
        else:
            bounds = self.out.result(self.node.attrs["qlo"], self.node.attrs["qhi"])
        return ctx.constants.floats(factors, bounds, self.residual_operand(ctx))

    def residual_operand(self, ctx: Lowering) -> list[float]:
        """[r_step, r_shift, r_multiplier]."""
        if self.residual is None:
            return [1.0, 0.0, 0.0]
        given = ctx.stored(self.node.inputs[3])
        return [*given.operand, float(multiplier(given.scale, self.out.scale))]

    def multipliers(self) -> np.ndarray:
        """float32[N]: from an accumulator to units of the output scale."""
        assert self.quant is not None
        product = np.float64(self.x.scale) * np.broadcast_to(self.quant.scale, self.values.shape[:1]).astype(np.float64)
        return np.asarray(multiplier(product, self.out.scale), np.float32)

    def thresholds(self) -> np.ndarray | None:
        """int64[N]: the least accumulator of each channel whose result is stored as 1, where all others are stored as
        0.  None where there are other results, or where a threshold is not a number that float32 and int32 hold well."""
        if self.out.quant is None or self.out.sign or self.wide or self.residual is not None:
            return None
        if self.reach.max(initial=0) >= _ROOM:
            return None
        lo, hi, zero = self.out.result(self.node.attrs["qlo"], self.node.attrs["qhi"])
        return least_accumulators(self.multipliers(), hi) if (lo + zero, hi + zero) == (0, 1) else None

    def float_operands(self, ctx: Lowering, lanes: int) -> tuple[Ref, Ref]:
        bias = np.zeros(lanes, np.float32)
        values = np.asarray(ctx.graph.constants[self.bias], np.float32)
        bias[: len(values)] = values
        return ctx.constants.add(bias), ctx.constants.floats(*float_bounds(self.node))

    def with_group_scale(self, packing: Packing) -> Packing:
        if self.group_scale is None or self.quant is None:
            return packing
        scale = self.group_scale.astype(np.uint8)
        return replace(packing, group_size=self.quant.group_size or 0, channels=self.values.shape[-1], group_scale=scale)

    def weights(self, ctx: Lowering, packing: Packing) -> Ref:
        container = 8 * ELEMENT_BYTES[self.x.dtype] if self.quant is None else self.quant.container
        return ctx.add_weights(self.node.name, self.values, self.weight_text, container, self.with_group_scale(packing))


def least_accumulators(multipliers: np.ndarray, result: float) -> np.ndarray | None:
    """int64[N]: the least acc with rint(f32(acc) * multiplier) >= ``result``, which then holds for all greater ones;
    None where one is not between -2^24 and 2^24."""
    below, least = (np.full(len(multipliers), side * _EXACT) for side in (-1, 1))

    def reached(acc: np.ndarray) -> np.ndarray:
        return np.asarray(np.rint(acc.astype(np.float32) * multipliers) >= result)

    if reached(below).any() or not reached(least).all():
        return None
    while (least - below > 1).any():
        middle = (below + least) // 2
        above = reached(middle)
        below, least = np.where(above, below, middle), np.where(above, middle, least)
    return least


_ROOM = 1 << 30  # of int32, for sums; the rest is for bias and threshold
_EXACT = 1 << 24  # float32 holds every integer up to it


def _geometry(ctx: Lowering, layer: _Layer) -> ConvGeometry:
    node, linear = layer.node, layer.node.op == "linear"
    return ConvGeometry(
        src=layer.src,
        dst=layer.dst,
        residual=None if layer.residual is None else ctx.layouts[layer.residual],
        few_residuals=layer.few_residuals(ctx),
        bounded=layer.bounded(ctx),
        kernel=(layer.values.shape[1], layer.values.shape[2]),
        stride=(1, 1) if linear else node.attrs["stride"],
        dilation=(1, 1) if linear else node.attrs["dilation"],
        padding=(0, 0) if linear else node.attrs["padding"][:2],
    )


def lower_convolution(ctx: Lowering, node: Node) -> None:
    """conv2d or linear with bias, residual, clamp and requantization in one kernel.

    A depthwise convolution whose parts int32 does not hold (more than 511 taps of 16 bits) is a grouped one, whose kernels sum
    in blocks."""
    layer = _Layer(ctx, node)
    moved = node.op == "linear" and len(ctx.type(layer.source).shape) == 4
    if moved:
        layer.move_last_axis(ctx)
    at, macs = _geometry(ctx, layer), layer.dst.pixels * int(np.prod(layer.values.shape))
    if channel_multiplier(ctx.graph, node) == 1 and layer.parts_fit:
        _lower_depthwise(ctx, layer, at, macs)
        return
    thresholds = None if layer.quant is None else layer.thresholds()
    problem = ConvProblem(
        **at.geometry,
        layer=node.name,
        op=node.op,
        groups=node.attrs.get("groups", 1),
        act=layer.act_text,
        weight=layer.weight_text,
        act_max=layer.act_max,
        acc_shift=layer.acc_shift,
        sign=layer.out.sign or thresholds is not None,
        floats=ctx.floats if layer.quant is None else FLOAT32,
    )
    choice, tuned = ctx.decider(problem, layer.effective, ctx.target, ctx.decisions)
    lanes = choice.spec.blocks * choice.spec.nr
    if layer.quant is None:
        b, s = layer.float_operands(ctx, lanes)
    else:
        offset = choice.bias_offset if thresholds is None else choice.bias_offset - thresholds
        b, s = layer.integer_bias(ctx, lanes, offset, choice.bias_rows), layer.integer_scales(ctx, lanes)
    w, r = layer.weights(ctx, choice.packing), layer.residual or NULL
    emit_choice(
        ctx, node, choice, x=layer.source, r=r, w=w, b=b, s=s, o=layer.result, macs=macs, fill=layer.out.zero, tuned=tuned
    )
    if moved:
        emit_from_rows(ctx, node, layer.result, 3)


def emit_choice(
    ctx: Lowering, node: Node, choice: Choice, *, x: str, r: str | Ref, w: Ref, b: Ref, s: Ref, o: str, macs: int, fill: int,
    tuned: bool | None = None,
) -> None:  # fmt: skip
    """Append the calls of ``choice``: the kernel that packs buffer ``x``, where it needs one and nobody did so
    yet, and the convolution.  The other arguments as in ``Lowering.emit``."""
    if choice.pack is not None:
        packed = f"{ctx.storage(x)}.{choice.pack.kind}.{choice.pack.digest()[:8]}"
        if not ctx.written(packed):
            ctx.temporary(packed, choice.spec.src)
            ctx.emit(node, choice.pack, x=x, o=packed)
        x = packed
    if choice.packing.split is not None:  # the runtime makes the table behind the panels
        t = Ref("weights", w.offset + choice.packing.table_at)
    else:
        t = NULL if choice.table is None else ctx.tables.add(choice.table)
    ctx.emit(node, choice.spec, x=x, r=r, w=w, b=b, s=s, t=t, o=o, macs=macs, fill=fill, tuned=tuned)


def _lower_depthwise(ctx: Lowering, layer: _Layer, at: ConvGeometry, macs: int) -> None:
    form = layer.x.dtype if layer.quant is None else "i16" if layer.wide else "i8"
    spec = DepthwiseSpec(
        **at.geometry,
        act=layer.act_text,
        weight=layer.weight_text,
        form=form,
        acc_shift=layer.acc_shift,
        wide=layer.wide,
        sign=layer.out.sign,
    )
    lanes = layer.dst.stride
    packing = Packing("taps", form, layer.dst.c, at.taps, 1, 1, lanes, 1, parts=2 if layer.wide else 1)
    if layer.quant is None:
        b, s = layer.float_operands(ctx, lanes)
    else:
        b, s = layer.integer_bias(ctx, lanes), layer.integer_scales(ctx, lanes)
    w = layer.weights(ctx, packing)
    r, out = layer.residual or NULL, layer.node.name
    ctx.emit(layer.node, spec, x=layer.source, r=r, w=w, b=b, s=s, o=out, macs=macs, fill=layer.out.zero)
