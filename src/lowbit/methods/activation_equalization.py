"""Channels of a value get equal ranges, so that the one grid of the value serves all of them.

Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models,
ICML 2023, section 4, here between convolutions and through their clamps; Nagel et al. 2019 for what makes it possible.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.graph.ops import channel_multiplier
from lowbit.methods.equalization import pairs_of, scaled
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import by_channel, check_rows, float_values
from lowbit.numerics import QParams

__all__ = ["ActivationEqualization"]


@dataclass(frozen=True)
class ActivationEqualization:
    """For the pairs of layers (A, B) of cross-layer equalisation: channel i of what A gives is multiplied, the weights of B
    that read it divided, by

        f_i = (max_j r_j / r_i)^a,   r_i = the range of channel i, over ``rows`` of the samples, that rounds it best

    with a = 1 where B is depthwise (its weights have a scale per channel anyway), else ``strength``: the finer the weights of
    a dense B stay, the coarser the small channels of the value.  f_i <= ``most``.  r_i is the range of least squared error for
    the bits of the value: with few bits it is shorter than the largest magnitude, by a factor of its own for every channel.

    An upper clamp h (ReLU6) is let through where f_i r_i <= h: the float network then differs in values beyond r_i, which clip
    at h / f_i instead of h, and which the grid of the value, whose end is about max_j r_j, cuts off at r_i in any case.  Ranges
    are observed again on the same rows, and weights rounded to nearest."""

    strength: float = 0.5
    most: float = 64.0
    rows: int = 512

    changes_network: ClassVar[bool] = True  # its task has another float graph

    def __call__(self, task: Task) -> Task:
        samples = [value[: self.rows] for value in task.samples_for("activation equalisation")]
        began, pairs = time.monotonic(), pairs_of(task.graph, clamped=True)
        if not pairs:
            return task.with_choice(task.choice, Step("activation equalisation", "no pair of layers that allows it"))
        check_rows(task.graph, len(samples[0]))
        grids = {first.name: task.choice.values[second.inputs[0]] for first, second in pairs}
        reach = float_values(task.graph, samples, grids, lambda node, y: best_range(by_channel(node, y), grids[node.name]))
        graph = task.graph
        for first, second in pairs:
            graph = scaled(graph, first, second, self.factors(graph, first, second, reach))
        done = task.with_graph(graph, samples)
        step = Step("activation equalisation", f"{len(pairs)} pairs of layers", time.monotonic() - began)
        return done.with_choice(done.choice, step)

    def factors(self, graph: Graph, first: Node, second: Node, reach: dict[str, np.ndarray]) -> np.ndarray:
        """f of one pair."""
        largest = reach[first.name]
        strength = 1.0 if channel_multiplier(graph, second) is not None else self.strength
        known = largest > 0
        factor = np.ones(len(largest))
        factor[known] = np.minimum((largest.max() / largest[known]) ** strength, self.most)
        hi = first.attrs.get("hi")
        if hi is not None:  # a channel that clips already cannot be scaled at all
            factor[known] = np.minimum(factor[known], np.maximum(hi / largest[known], 1.0))
        return factor


_VALUES = 1 << 13  # of a channel, on which ranges are compared
_RANGES = 24


def best_range(values: Tensor, params: QParams | None) -> np.ndarray:
    """(C, n) -> (C,): the r = k/24 of the largest magnitude that minimises the squared error of rounding to the levels of
    ``params`` spread over it (0..r, or -r..r); the largest magnitude itself for real values."""
    largest = values.abs().amax(1)
    if params is None or params.qtype.bits < 2:
        return largest.numpy().astype(np.float64)
    some = values[:, :: max(1, values.shape[1] // _VALUES)]
    most = params.qtype.qmax
    least = -most if params.qtype.signed else 0
    best, error = largest.clone(), torch.full_like(largest, torch.inf)
    for k in range(_RANGES, 0, -1):
        r = largest * (k / _RANGES)
        step = (r / most).clamp_min(1e-30)[:, None]
        one = ((some / step).round().clamp(least, most) * step - some).square().sum(1)
        best, error = torch.where(one < error, r, best), torch.minimum(one, error)
    return best.numpy().astype(np.float64)
