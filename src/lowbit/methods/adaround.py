"""AdaRound: whether each weight is rounded up or down is learned, one layer after the other.

Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.methods.layers import layer_by_layer, of_nearest
from lowbit.methods.numbers import cells_of, layer_numbers, rounded_freely
from lowbit.methods.patches import Positions, fitting, matrix_product
from lowbit.methods.rectified import start
from lowbit.methods.simulate import parameters_of
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import Pair
from lowbit.quantization import Choice, LayerNumbers, Quantized

__all__ = ["AdaRound"]


@dataclass(frozen=True)
class AdaRound:
    """Minimises, for one layer after the other, eq. 25 of the paper,

        E |f(W x + b + r) - f(W' x' + b' + r')|^2 + lambda * sum(1 - |2 h - 1|^beta),   W' = s clip(floor(W / s) + h, n, p)

    with h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1) (eq. 23), x' and the residual r' from the network quantized so far, f the layer's
    fused clamp.  Unlike there, b' is learned too (a bias has 32 bits), and the first term is divided by its value for the nearest
    integers, so that ``regularization`` = lambda * (number of weights) means the same for every layer.

    ``iterations`` of Adam at ``rate``, each on ``batch`` of at most ``positions`` output positions, drawn over all rows.  beta
    falls from ``beta[0]`` to ``beta[1]`` along a cosine after the share ``warm`` of the iterations, during which lambda is 0.
    b1 weights have no neighbour and keep theirs; their layers still get a bias.  ``spared``: names of layers that keep their
    numbers."""

    iterations: int = 1000
    rate: float = 0.02
    batch: int = 1024
    positions: int = 32768
    regularization: float = 1.0
    beta: tuple[float, float] = (20.0, 2.0)
    warm: float = 0.2
    spared: tuple[str, ...] = ()
    seed: int = 0

    def __call__(self, task: Task) -> Task:
        layers = [n.name for n in task.graph.nodes if n.op in LAYERS and n.name not in self.spared]
        began = time.monotonic()
        gains: list[float] = []
        cut: list[str] = []

        def find(node: Node, choice: Choice, values: dict[str, Pair], target: Tensor) -> LayerNumbers:
            share, start_at = _share(task, layers, node.name), time.monotonic()
            numbers, gain = self.layer(task.graph, choice, node, values, target, share)
            gains.append(gain)
            if share is not None and time.monotonic() - start_at >= share:
                cut.append(node.name)
            return numbers

        choice, what = layer_by_layer(task, self, "AdaRound", find, self.spared)
        what += of_nearest(gains)
        what += f", {len(cut)} layers cut short by the clock" if cut else ""
        return task.with_choice(choice, Step("AdaRound", what, time.monotonic() - began))

    def layer(
        self, graph: Graph, choice: Choice, node: Node, values: dict[str, Pair], target: Tensor, seconds: float | None = None
    ) -> tuple[LayerNumbers, float]:
        """(integers of one layer, its squared error as a share of that of the integers it had).

        ``values``: those of its inputs, ``target``: what the float layer gives; ``seconds``: stop early, with beta at its end."""
        x = values[node.inputs[0]][1]
        seed = crc32(node.name.encode()) + self.seed
        room = max(self.batch, fitting(graph, node))
        positions = Positions.draw(graph, node, len(x), min(self.positions, room), seed)
        held = choice.values[node.inputs[0]]
        assert held is not None  # a layer reads integers
        patches = positions.inputs(x, float(held.scale) if held.qtype.bipolar else 0.0)
        wanted = positions.outputs(target)
        residual = positions.outputs(values[node.inputs[-1]][1]) if node.attrs.get("residual") else None
        had = choice.layers[node.name]
        params = parameters_of(choice, node)
        lo, hi = node.attrs.get("lo"), node.attrs.get("hi")

        def error(weight: Tensor, bias: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
            y = matrix_product(patches[rows], weight) + bias
            if residual is not None:
                y = y + residual[rows]
            y = y if lo is None and hi is None else y.clamp(lo, hi)
            return (y - wanted[rows]).square().mean()

        with torch.no_grad():
            nearest = float(error(params.weight, params.bias))
        if nearest <= 0.0:
            return had, 1.0
        unit = nearest**0.5
        cells = cells_of(graph.constants[node.inputs[1]], had.weights.params)
        soft = start(cells) if rounded_freely(choice, node) else None
        shift = torch.zeros_like(params.bias, requires_grad=True)
        learned = [shift] if soft is None else [shift, soft.v]
        optimizer = torch.optim.Adam(learned, lr=self.rate)
        generator = torch.Generator().manual_seed(seed)
        began = time.monotonic()
        done = 0.0
        while done < 1.0:
            rows = torch.randint(len(patches), (min(self.batch, len(patches)),), generator=generator)
            optimizer.zero_grad()
            weight = params.weight if soft is None else soft.weight()
            loss = error(weight, params.bias + unit * shift, rows) / nearest
            if soft is not None and done > self.warm:
                loss = loss + self.regularization * soft.unsettled(self.exponent(done))
            loss.backward()
            optimizer.step()
            done += 1 / self.iterations
            if seconds is not None:
                done = max(done, (time.monotonic() - began) / seconds)
        with torch.no_grad():
            integers = had.weights.integers if soft is None else soft.integers(had.weights.params.qtype.dtype)
            real = params.weight if soft is None else soft.hard()
            bias = params.bias + unit * shift
            after = float(error(real, bias))
        numbers = layer_numbers(Quantized(integers, had.weights.params), bias.numpy(), held)
        if numbers is None or after >= nearest:
            return had, 1.0
        return numbers, after / nearest

    def exponent(self, done: float) -> float:
        """beta at the share ``done`` of the iterations."""
        share = min(1.0, max(0.0, (done - self.warm) / (1 - self.warm)))
        return self.beta[1] + (self.beta[0] - self.beta[1]) * 0.5 * (1 + float(np.cos(share * np.pi)))


def _share(task: Task, layers: list[str], name: str) -> float | None:
    """The seconds of one of the layers that are left, of equal parts."""
    left = task.seconds_left()
    return None if left is None else max(left, 0.0) / (len(layers) - layers.index(name)) * 0.8
