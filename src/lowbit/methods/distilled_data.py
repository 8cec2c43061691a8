"""Inputs made from the statistics that batch norms keep, for networks whose data is not at hand.

Cai, Yao, Dong, Gholami, Mahoney, Keutzer: ZeroQ: A Novel Zero Shot Quantization Framework, CVPR 2020, section 3.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import CalibrationError
from lowbit.frontend.evaluation import compute
from lowbit.graph import Graph, Node
from lowbit.graph.rebatch import mixes_rows
from lowbit.progress import stage

__all__ = ["distilled_samples"]

_SOFTENED = 1e-6


def distilled_samples(
    graph: Graph, rows: int = 64, iterations: int = 200, rate: float = 0.1, seed: int = 0, progress: bool | None = None
) -> tuple[np.ndarray, ...]:
    """One float32 array of ``rows`` rows for each input: independent normal numbers, changed by Adam until what every batch norm
    reads has nearly the mean and the variance that it keeps; minimises (eq. 2, each channel in units of its deviation)

        sum over batch norms of mean_c ((m'_c - m_c)^2 + (d'_c - d_c)^2) / v_c

    ``graph``: as imported, before the passes fold batch norms away.  Raises CalibrationError where there is none: then the
    network says nothing of its data."""
    norms = [node for node in graph.nodes if node.op == "batch_norm"]
    if not norms:
        raise CalibrationError(
            f"{graph.name} has no batch norm (or they are folded already): it keeps no statistics from which inputs could be "
            "made; give calibration samples"
        )
    if why := mixes_rows(graph):
        raise CalibrationError(f"{graph.name}: inputs are made row by row, but {why}; give calibration samples")
    generator = torch.Generator().manual_seed(seed)
    shapes = [(rows, *graph.types[name].shape[1:]) for name in graph.inputs]
    inputs = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    optimizer = torch.optim.Adam(inputs, lr=rate)
    with stage("make calibration inputs", iterations, progress) as advance:
        for _ in range(iterations):
            optimizer.zero_grad()
            _distance(graph, inputs, norms).backward()
            optimizer.step()
            advance()
    return tuple(value.detach().numpy() for value in inputs)


def _distance(graph: Graph, inputs: list[Tensor], norms: list[Node]) -> Tensor:
    values: dict[str, Tensor] = dict(zip(graph.inputs, inputs, strict=True))
    constants = {name: torch.from_numpy(value.copy()) for name, value in graph.constants.items()}
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    end = max(index for index, node in enumerate(graph.nodes) if node.op == "batch_norm")
    total = torch.zeros(())
    for index, node in enumerate(graph.nodes[: end + 1]):
        given = [values[name] if name in values else constants[name] for name in node.inputs]
        if node in norms:
            x, mean, variance = given[0], given[3], given[4]
            others = [d for d in range(x.dim()) if d != 1]
            seen, kept = x.var(others, correction=0), variance.clamp_min(_SOFTENED)
            apart = (x.mean(others) - mean).square() + ((seen + _SOFTENED).sqrt() - kept.sqrt()).square()
            total = total + (apart / kept).mean()
        values[node.name] = compute(node, (len(given[0]), *graph.types[node.name].shape[1:]), *given)
        for name in node.inputs:
            if last[name] == index:
                values.pop(name, None)
    return total
