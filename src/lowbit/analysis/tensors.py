"""Every value of the compiled network beside the same value of the float one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowbit.analysis.report import TensorAnalysis
from lowbit.analysis.spreads import decibels
from lowbit.fake import execute
from lowbit.frontend import evaluate
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import rebatch

__all__ = ["Compared", "compare_tensors"]


@dataclass
class _Sums:
    """Over all rows: powers, products and extremes of one value, float and quantized."""

    power: float = 0.0
    error: float = 0.0
    quantized: float = 0.0
    product: float = 0.0
    largest: float = 0.0

    def add(self, x: Tensor, q: Tensor) -> None:
        x, q = x.double(), q.double()
        difference = q - x
        self.power += float(x.square().sum())
        self.quantized += float(q.square().sum())
        self.error += float(difference.square().sum())
        self.product += float((x * q).sum())
        self.largest = max(self.largest, float(difference.abs().max()))


class _Extent:
    """Smallest and largest value of each channel."""

    def __init__(self) -> None:
        self.lo: Tensor | None = None
        self.hi: Tensor | None = None

    def add(self, value: Tensor, axis: int) -> None:
        flat = value.movedim(axis, 0).reshape(value.shape[axis], -1)
        lo, hi = flat.amin(1), flat.amax(1)
        self.lo = lo if self.lo is None else torch.minimum(self.lo, lo)
        self.hi = hi if self.hi is None else torch.maximum(self.hi, hi)

    @property
    def dead(self) -> int:
        return 0 if self.lo is None or self.hi is None else int((self.lo == self.hi).sum())


@dataclass(frozen=True)
class Compared:
    """``dead``: layer -> (channels of one value in the float network, in the quantized one).  ``outputs``, ``floats``: first
    outputs of both, rows joined."""

    tensors: tuple[TensorAnalysis, ...]
    dead: dict[str, tuple[int, int]]
    outputs: np.ndarray
    floats: np.ndarray


def compare_tensors(
    graph: Graph, integer: Graph, batches: Sequence[Sequence[Tensor]], advance: Callable[[str], None] = lambda _: None
) -> Compared:
    """Runs both graphs on ``batches`` (inputs of any equal number of rows), value by value."""
    sums: dict[str, _Sums] = {}
    extents: dict[tuple[str, bool], _Extent] = {}
    layers = {node.name: 1 if node.op == "conv2d" else -1 for node in graph.nodes if node.op in LAYERS}
    outputs, floats = [], []
    for batch in batches:
        rows = len(batch[0])
        seen: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor, seen: dict[str, Tensor] = seen) -> None:
            seen[name] = value
            if name in layers:
                extents.setdefault((name, False), _Extent()).add(value, layers[name])

        floats.append(evaluate(rebatch(graph, rows), batch, keep)[0])
        running = rebatch(integer, rows)
        origin = {node.name: _origin(node.name, node.inputs, graph) for node in running.nodes}

        def beside(
            name: str, value: Tensor, seen: dict[str, Tensor] = seen, running: Graph = running, origin: dict[str, str] = origin
        ) -> None:
            if name in layers:
                extents.setdefault((name, True), _Extent()).add(value, layers[name])
            wanted = seen.get(origin[name])
            if wanted is None or running.node(name).op == "dequantize":
                return
            quant = running.types[name].quant
            real = value if quant is None else (value - quant.zero_point) * float(quant.scale)
            sums.setdefault(name, _Sums()).add(wanted, real)

        with torch.inference_mode():
            outputs.append(execute(running, batch, beside)[0])
        advance("tensors of the compiled network")
    snr = {name: decibels(s.power, s.error) for name, s in sums.items()}
    tensors = []
    for node in integer.nodes:
        if node.name not in sums:
            continue
        read = [snr[name] for name in node.inputs if name in snr]
        own, s, quant = snr[node.name], sums[node.name], integer.types[node.name].quant
        lowest = min((value for value in read if value is not None), default=None)
        norm = (s.power * s.quantized) ** 0.5
        tensors.append(
            TensorAnalysis(
                node.name,
                node.op,
                "f32" if quant is None else str(quant.qtype),
                tuple(name for name in node.inputs if name in snr),
                own,
                0.0 if own is None or lowest is None else lowest - own,
                s.largest,
                s.product / norm if norm else 1.0,
            )
        )
    dead = {name: (extents[name, False].dead, extents[name, True].dead) for name in layers}
    return Compared(tuple(tensors), dead, torch.cat(outputs).numpy(), torch.cat(floats).numpy())


def _origin(name: str, inputs: Sequence[str], graph: Graph) -> str:
    """The value of the float graph that a node of the integer graph stands for."""
    return name if name in graph.types else inputs[0]
