"""What the integers of a value mean while a network runs in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowbit.fake.straight_through import round_within, sign
from lowbit.graph import Node
from lowbit.numerics import QParams
from lowbit.quantization.draft import clamp_bounds

__all__ = ["Grid", "Sum", "Term", "finish", "grid_of"]


@dataclass(frozen=True, eq=False)
class Grid:
    """x = scale * (q - zero_point): ``params`` says it in numbers, ``scale`` (float32, shape () or (C,)) as a tensor that may
    ask for gradients; the same values.  ``made_with``: the scale for which the graph's clamp bounds and tables were made."""

    params: QParams
    scale: Tensor
    made_with: float

    @property
    def moved(self) -> bool:
        return self.params.scale.ndim == 0 and float(self.params.scale) != self.made_with

    @property
    def zero_point(self) -> int:
        return self.params.zero_point

    def offsets(self, q: Tensor) -> Tensor:
        """q - zero_point, exact in float32."""
        return q - self.zero_point if self.zero_point else q


def grid_of(params: QParams, scale: Tensor | None = None, device: torch.device | None = None) -> Grid:
    """The grid of ``params``, or one of its type and zero point with another ``scale``."""
    made_with = float(params.scale.max())
    if scale is None:
        return Grid(params, torch.from_numpy(np.array(params.scale)).to(device), made_with)
    return Grid(replace(params, scale=scale.detach().cpu().numpy()), scale, made_with)


class Term(NamedTuple):
    """acc * f32(numerator / (s_out * divisor)): ``acc`` holds integers exactly, or is a float32; ``numerator`` float64."""

    acc: Tensor
    numerator: Tensor
    divisor: Tensor | float = 1.0


class Sum(NamedTuple):
    """A result before it is rounded to its grid: the terms, added (``combine``: or joined otherwise) in this order in float32."""

    terms: tuple[Term, ...]
    combine: Callable[[Tensor, Tensor], Tensor] = torch.add


def _real(total: Sum, scale: Tensor | float) -> Tensor:
    """In units of ``scale``; every conversion, product and sum rounded once to float32."""
    value = None
    for acc, numerator, divisor in total.terms:
        factor = (numerator / (scale * divisor)).float()
        product = acc.float() * factor
        value = product if value is None else total.combine(value, product)
    if value is None:
        raise ValueError("a sum of no terms")
    return value


def finish(total: Sum, node: Node, out: Grid | None) -> Tensor:
    """Integers: clamp(rint(f) + zero_point, qlo, qhi), for b1 the sign of f, f in units of the output's scale; qlo and qhi
    are the node's own, or follow from the clamp fused into it.  Without a grid: f as float32, clamped."""
    if out is None:
        f, lo, hi = _real(total, 1.0), node.attrs.get("lo"), node.attrs.get("hi")
        return f if lo is None and hi is None else f.clamp(lo, hi)
    f = _real(total, out.scale.double())
    bounds = clamp_bounds(node, out.params) if out.moved or "qlo" not in node.attrs else node.attrs
    if out.params.qtype.bipolar:
        return sign(f).clamp(bounds["qlo"], bounds["qhi"])
    zero = out.zero_point
    steps = round_within(f, bounds["qlo"] - zero, bounds["qhi"] - zero)
    return steps + zero if zero else steps
