"""Channels of a value get equal ranges, so that the one grid of the value serves all of them.

Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models,
ICML 2023, section 4, here between convolutions and through their clamps; Nagel et al. 2019 for what makes it possible.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.graph.ops import channel_multiplier
from lowbit.methods.equalization import pairs_of, scaled
from lowbit.methods.simulate import run_node
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import in_chunks
from lowbit.quantization import calibrate, choose

__all__ = ["ActivationEqualization"]


@dataclass(frozen=True)
class ActivationEqualization:
    """For the pairs of layers (A, B) of cross-layer equalisation: channel i of what A gives is multiplied, the weights of B
    that read it divided, by

        f_i = (max_j r_j / r_i)^a,   r_i = the largest magnitude of channel i over ``rows`` of the samples

    with a = 1 where B is depthwise (its weights have a scale per channel anyway), else ``strength``: the finer the weights of
    a dense B stay, the coarser the small channels of the value.  f_i <= ``most``.  An upper clamp h (ReLU6) is let through where
    f_i r_i <= h: the network then differs for inputs that exceed what the samples showed, in channels that clip there at h / f_i
    instead of h.  Ranges are observed again on the same rows, and weights rounded to nearest."""

    strength: float = 0.5
    most: float = 64.0
    rows: int = 512

    changes_network: ClassVar[bool] = True  # its task has another float graph

    def __call__(self, task: Task) -> Task:
        samples = [value[: self.rows] for value in task.samples_for("activation equalisation")]
        began, pairs = time.monotonic(), pairs_of(task.graph, clamped=True)
        if not pairs:
            return task.with_choice(task.choice, Step("activation equalisation", "no pair of layers that allows it"))
        reach = _reach(task.graph, samples, [first.name for first, _ in pairs])
        graph = task.graph
        for first, second in pairs:
            graph = scaled(graph, first, second, self.factors(graph, first, second, reach))
        calibration = calibrate(graph, [tuple(samples)], keep=0)
        choice = choose(graph, calibration, task.config)
        calibration = replace(calibration, samples=task.calibration.samples)
        step = Step("activation equalisation", f"{len(pairs)} pairs of layers", time.monotonic() - began)
        return replace(task, graph=graph, calibration=calibration, choice=choice, log=(*task.log, step))

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


@torch.no_grad()
def _reach(graph: Graph, samples: Sequence[np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Value -> largest magnitude of each channel (axis 1) over the rows of the float network."""
    found: dict[str, np.ndarray] = {}
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    values: dict[str, Tensor] = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in zip(graph.inputs, samples, strict=True)}
    for index, node in enumerate(graph.nodes):
        reads = [name for name in node.inputs if name not in graph.constants]

        def one(*given: Tensor, node: Node = node, reads: list[str] = reads) -> Tensor:
            return run_node(graph, node, dict(zip(reads, given, strict=True)))

        y = in_chunks(one, graph.types[node.name].shape[1:], *(values[name] for name in reads))
        values[node.name] = y
        if node.name in wanted:
            found[node.name] = y.abs().amax([d for d in range(y.dim()) if d != 1]).numpy().astype(np.float64)
        for name in reads:
            if last[name] == index:
                values.pop(name, None)
    return found
