"""What a form does in one step of the K loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lowbit.kernels.conv2d.bytesums import Bytes

__all__ = ["Arithmetic", "Spreads", "batched"]

Spreads = Callable[[Any, Any], Callable[[int], Any]]
"""(kernel, at) -> the function from the number of a step to its input."""


@dataclass(frozen=True)
class Arithmetic:
    """One vector holds ``lanes`` output channels.

    ``spread(kernel, at)``: the step's input values at element ``at`` of x, repeated in every lane;
    ``step(acc, a, w)``: the step accumulator (TIR dtype ``narrow``) after one step;
    ``total(acc)``: its value as int32 (float32 for f32) x lanes;
    ``weight``: (TIR dtype, elements) of one vector of weights, ``zero``: what ``narrow`` starts from.
    ``product(a, w)``: what a step adds, for forms whose step is a product and an addition: kernels whose sums may wrap
    add it themselves.
    ``rows``: rows of a panel that a step takes; ``w`` is then a tuple of as many vectors.
    ``alone``: what a row is multiplied by that is alone (WordRole) in a run whose other rows are pairs (see mixed.py).
    ``first(kernel, at)``: for each tap, whose input starts at element ``at`` of x, an int32 that is added to all
    sums of the pixel.
    ``batch``: steps whose inputs are loaded at once: ``spreads(kernel, at)`` gives the function from
    the number of such a step to what ``spread`` would give for it (see batches.py).
    ``beside(kernel, at, count)``: int32 x 4 whose lanes together are what ``count`` steps of such a batch add to every
    sum of the pixel and must be taken off again.
    """

    lanes: int
    narrow: str
    weight: tuple[str, int]
    zero: Any
    spread: Callable[[Any, Any], Any]
    step: Callable[[Any, Any, Any], Any]
    total: Callable[[Any], Any] = lambda acc: acc
    bytes: Bytes | None = None  # forms that sum in bytes, one a lane
    product: Callable[[Any, Any], Any] | None = None
    rows: int = 1
    alone: Arithmetic | None = None
    first: Callable[[Any, Any], Any] | None = None
    batch: int = 1
    spreads: Spreads | None = None
    beside: Callable[[Any, Any, int], Any] | None = None

    @property
    def floats(self) -> bool:
        return self.weight[0] == "float32"


def batched(spreads: Spreads, batch: int) -> dict[str, Any]:
    """``batch``, ``spreads`` and ``spread`` of an Arithmetic."""
    return {"batch": batch, "spreads": spreads, "spread": lambda kernel, at: spreads(kernel, at)(0)}
