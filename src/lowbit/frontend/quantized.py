"""Values and weights that somebody else rounded to a grid, whatever format tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.graph import Integers
from lowbit.numerics import QParams, QType
from lowbit.numerics.qtype import WIDTHS

__all__ = ["Grid", "round_activation", "round_constant", "weights"]

Round = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """x ~ scale * (q - zero_point), q from ``low`` to ``high``; arrays of shape (), or one that broadcasts with the tensor.

    ``bits``, ``signed``: of the type the integers are held in; ``bipolar``: -1 and 1."""

    scale: np.ndarray
    zero_point: np.ndarray
    low: int
    high: int
    bits: int
    signed: bool
    bipolar: bool = False


def round_activation(b: Builder, call: Call, x: str, grid: Grid) -> Value:
    """``x`` rounded to the grid.  Raises UnsupportedOperation for one that varies along an axis, or is wider than 16 bits."""
    if grid.scale.size != 1 or grid.zero_point.size != 1:
        call.refuse(
            f"an activation with {max(grid.scale.size, grid.zero_point.size)} scales or zero points; lowbit's activations have "
            "one of each: quantize activations per tensor"
        )
    scale, zero_point = float(grid.scale.reshape(())), float(grid.zero_point.reshape(()))
    if not (np.isfinite(scale) and scale > 0) or zero_point != int(zero_point):
        call.refuse(f"scale {scale} and zero point {zero_point}; the scale must be positive, the zero point a whole number")
    if grid.bipolar:
        return b.quantize(call, x, QParams(QType(1, True, True), np.asarray(scale)))
    qtype, zero, low, high = _held(call, grid, int(zero_point))
    if not qtype.qmin <= zero <= qtype.qmax:
        call.refuse(f"zero point {zero} outside {qtype}, {qtype.qmin} to {qtype.qmax}; real 0 must be on the grid")
    if (low, high) != (qtype.qmin, qtype.qmax):
        lo, hi = (None if end == own else (end - zero) * scale for end, own in ((low, qtype.qmin), (high, qtype.qmax)))
        x = b.emit(call, "clamp", [x], b.shape(x), lo=lo, hi=hi)
    return b.quantize(call, x, QParams(qtype, np.asarray(scale), zero))


def _held(call: Call, grid: Grid, zero: int) -> tuple[QType, int, int, int]:
    """(type, zero point, lowest and highest integer) in which lowbit holds the grid: 16 bits signed, i1 as i2."""
    bits, low, high, signed = grid.bits, grid.low, grid.high, grid.signed
    bits = next((width for width in WIDTHS if width >= bits), 0)
    if not bits:
        return _refuse(call, grid)
    if bits == 16 and not signed:  # the same integers, 32768 less
        shift = 0 if grid.bits < 16 else 1 << 15
        return QType(16, True), zero - shift, low - shift, high - shift
    return QType(2 if bits == 1 and signed else bits, signed), zero, low, high


def _refuse(call: Call, grid: Grid) -> NoReturn:
    call.refuse(f"integers of {grid.bits} bits; activations have up to 16")


def weights(b: Builder, integers: np.ndarray, grid: Grid) -> torch.Tensor:
    """The constant that integers mean."""
    shape = np.shape(integers)
    held = np.asarray(integers).astype(np.int64) - np.asarray(grid.zero_point).astype(np.int64)
    scale = np.broadcast_to(np.asarray(grid.scale, np.float32), shape)
    return b.from_integers(Integers(held.reshape(shape), np.array(scale), grid.bits, grid.bipolar))


def round_constant(b: Builder, x: np.ndarray, grid: Grid, rounding: Round = np.rint) -> torch.Tensor:
    """A float constant rounded to the grid: clamp(round(x / scale + zero_point), low, high), in float32."""
    x = np.asarray(x, np.float32)
    if grid.bipolar:
        return weights(b, np.where(x >= 0, 1, -1), grid)
    steps = rounding(x / np.asarray(grid.scale, np.float32) + np.asarray(grid.zero_point, np.float32))
    return weights(b, np.clip(steps, grid.low, grid.high), grid)
