"""Resizing by weighted sums of neighbours, axis by axis: linear and cubic, as torch itself weighs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lowbit.frontend.builder import Builder
from lowbit.frontend.call import Call, Value
from lowbit.frontend.handlers.operands import activation
from lowbit.frontend.handlers.selection import scales_of

__all__ = ["one_axis", "resized"]

Taps = tuple[tuple[int, tuple[float, ...]], ...]
_FACTORS = {1: ("scales",), 2: ("scales_h", "scales_w")}  # arguments of one axis each
_NOTHING = 1e-12  # a weight that rounding left
OneAxis = Callable[[torch.Tensor, int, bool, float | None], torch.Tensor]
"""(x of shape (1, rows, size), new size, align_corners, factor) -> x resized along its last axis."""


def one_axis(function: Any) -> OneAxis:
    """Of torch's operation for two axes, of which the other has one element."""

    def apply(x: torch.Tensor, size: int, align_corners: bool, factor: float | None) -> torch.Tensor:
        y: torch.Tensor = function(x[:, :, None], [1, size], align_corners, None, factor)
        return y[:, :, 0]

    return apply


def _taps(weights: torch.Tensor) -> Taps:
    """(first element, weights) of every result, equally many each, from the matrix (results, elements)."""
    used = [(row.abs() > _NOTHING).nonzero().reshape(-1) for row in weights]
    most = max(int(places[-1] - places[0]) + 1 for places in used)
    firsts = [min(int(places[0]), weights.shape[1] - most) for places in used]
    return tuple(
        (first, tuple(float(weight) for weight in row[first : first + most])) for first, row in zip(firsts, weights, strict=True)
    )


def resized(rank: int, function: OneAxis) -> Callable[[Builder, Call], Value]:
    """Weights of each axis by themselves: what torch makes of the unit vectors in float64."""

    def handle(b: Builder, call: Call) -> Value:
        x = activation(call, call.args["input"] if "input" in call.args else call.args["self"])
        call.args.shape_only("output_size")
        shape = b.shape(x)
        if len(shape) != rank + 2:
            call.refuse(f"the input has shape {shape}; give it a batch axis, so that it has {rank + 2} axes")
        corners = bool(call.args["align_corners"])
        axes: list[Taps] = []
        for size, out, factor in zip(shape[2:], call.shape[2:], scales_of(call, "scale_factors", _FACTORS[rank]), strict=True):
            if size == out and factor in (None, 1.0):
                axes.append(tuple((k, (1.0,)) for k in range(size)))
            else:
                axes.append(_taps(function(torch.eye(size, dtype=torch.float64)[None], out, corners, factor)[0].T))
        if rank == 1:
            x, axes = b.reshape(call, x, (*shape[:2], 1, shape[2])), [((0, (1.0,)),), *axes]
        y = b.emit(call, "resize", [x], (*shape[:2], len(axes[0]), len(axes[1])), rows=axes[0], columns=axes[1])
        return b.reshape(call, y, call.shape)

    return handle
