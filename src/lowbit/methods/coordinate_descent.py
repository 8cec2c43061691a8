"""Coordinate descent: each weight in turn takes the integer that is best beside all others, until none changes.

Behdin, Acharya, Gupta, Keerthi, Mazumder: QuantEase: Optimization-based Quantization for Language Models, 2023; the values that
a layer really reads, and those it should give, as in Nagel et al. 2020 (eq. 25).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.methods.layers import layer_by_layer, of_nearest
from lowbit.methods.numbers import Cells, cells_of, channels_that_fit, float_bias, layer_numbers, rounded_freely
from lowbit.methods.patches import Positions, fitting, matrix_product
from lowbit.methods.simulate import Parameters, parameters_of
from lowbit.methods.task import HELD_OUT, Step, Task
from lowbit.methods.walk import Pair
from lowbit.numerics import QParams, dequantize
from lowbit.quantization import Choice, FloatScale, LayerNumbers, Quantized

__all__ = ["CoordinateDescent", "Quadratic", "descend"]

_INPUTS_BYTES = 512 << 20  # of the sums of products of a layer's inputs, of which four lie in memory at a time
_BLOCK = 64  # coordinates between two updates of the whole gradient
_NEWTON = 4  # steps of the bias
_LOOK = 2  # sweeps that show which scale is better


@dataclass(frozen=True)
class Quadratic:
    """L(w) = w H w^T - 2 w c, of every output channel: E |y - w x|^2 less E y^2, with x and y less their means.

    ``inputs``: H = E[x x^T], (G, K, K); ``cross``: c = E[y x], (G, O, K); float32."""

    inputs: Tensor
    cross: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Quadratic:
        """Of patches (P, G, K) and what is wanted for them, (P, G * O)."""
        count, groups, _ = x.shape
        x = (x - x.mean(0)).transpose(0, 1)
        y = (y - y.mean(0)).reshape(count, groups, -1).permute(1, 2, 0)
        return cls(torch.bmm(x.transpose(1, 2), x) / count, torch.bmm(y, x) / count)

    def shrunk(self, weight: Tensor, share: float) -> Quadratic:
        """With ``share`` * sum_k H_kk (w_k - weight_k)^2 on top: inputs that few rows show to go together count as apart."""
        inputs = self.inputs.clone()
        diagonal = torch.diagonal(inputs, dim1=1, dim2=2)
        added = share * diagonal
        diagonal += added
        return Quadratic(inputs, self.cross + added[:, None] * weight)

    def loss(self, w: Tensor) -> Tensor:
        """(G, O) for weights (G, O, K)."""
        return (w * (torch.bmm(w, self.inputs) - 2 * self.cross)).sum(2)


def descend(q: Tensor, step: Tensor, least: int, most: int, quadratic: Quadratic, sweeps: int) -> Tensor:
    """Integers (G, O, K), as float32, from ``q`` on: for each k, by falling H_kk,

        q_k <- clip(rint(q_k - (q step H - c)_k / (H_kk step_k)), least, most)

    until a sweep changes nothing, or ``sweeps`` are over; the loss never rises.  Inputs that are always alike keep their q."""
    diagonal = torch.diagonal(quadratic.inputs, dim1=1, dim2=2)
    order = torch.argsort(diagonal.mean(0), descending=True)
    inputs, diagonal = quadratic.inputs[:, order[:, None], order], diagonal[:, order]
    alive = diagonal > 1e-9 * diagonal.amax(1, keepdim=True).clamp_min(1e-30)
    inverse = torch.where(alive, 1 / diagonal.clamp_min(1e-38), torch.zeros_like(diagonal))
    q, step, cross = (value.transpose(1, 2)[:, order].contiguous() for value in (q, step, quadratic.cross))  # (G, K, O)
    scale = inverse[..., None] / step
    for _ in range(sweeps):
        gradient = torch.bmm(inputs, q * step) - cross  # anew: sums of changes drift
        before = q.clone()
        for begin in range(0, len(order), _BLOCK):
            block = range(begin, min(begin + _BLOCK, len(order)))
            near = gradient[:, begin : block.stop]
            for i, k in enumerate(block):
                new = torch.round(q[:, k] - near[:, i] * scale[:, k]).clamp(least, most)
                moved = (new - q[:, k]) * step[:, k]
                q[:, k] = new
                near += inputs[:, k, begin : block.stop, None] * moved[:, None]
            moved = (q[:, begin : block.stop] - before[:, begin : block.stop]) * step[:, begin : block.stop]
            if bool(moved.any()):
                gradient[:, block.stop :] += torch.bmm(inputs[:, block.stop :, begin : block.stop], moved)
        if torch.equal(q, before):
            break
    return q[:, torch.argsort(order)].transpose(1, 2).contiguous()


@dataclass(frozen=True)
class _Seen:
    """A layer at P output positions: ``patches`` (P, G, K) of x', ``rows`` of each; (P, O): ``wanted`` = W x + b + r - r',
    ``residual`` = r', ``given`` = what the float layer gives behind its clamp to ``lo``..``hi``."""

    patches: Tensor
    rows: np.ndarray
    wanted: Tensor
    residual: Tensor
    given: Tensor
    lo: float
    hi: float

    @classmethod
    def of(cls, graph: Graph, node: Node, x: QParams, values: dict[str, Pair], target: Tensor, count: int, seed: int) -> _Seen:
        exact, rounded = values[node.inputs[0]]
        positions = Positions.draw(graph, node, len(rounded), count, crc32(node.name.encode()) + seed)
        real = torch.from_numpy(graph.constants[node.inputs[1]])
        wanted = matrix_product(positions.inputs(exact), real) + torch.from_numpy(float_bias(graph, node))
        residual = torch.zeros(())
        if node.attrs.get("residual"):
            added, residual = map(positions.outputs, values[node.inputs[-1]])
            wanted = wanted + added - residual
        lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
        patches = positions.inputs(rounded, float(x.scale) if x.qtype.bipolar else 0.0)
        bounds = -np.inf if lo is None else lo, np.inf if hi is None else hi
        return cls(patches, positions.index[0], wanted, residual, positions.outputs(target), *bounds)

    def error(self, real: Parameters) -> float:
        """Mean square behind the clamp."""
        y = matrix_product(self.patches, real.weight) + real.bias + self.residual
        return float((y.clamp(self.lo, self.hi) - self.given).square().mean())

    def bias(self, weights: Quantized) -> np.ndarray:
        """That gives back the mean of each channel, then, by Newton's steps, of what lies behind the clamp."""
        product = matrix_product(self.patches, torch.from_numpy(dequantize(weights.integers, weights.params)))
        bias = (self.wanted - product).mean(0)
        for _ in range(_NEWTON):
            y = product + bias + self.residual
            moves = ((y > self.lo) & (y < self.hi)).float()
            bias = bias + ((self.given - y) * moves).sum(0) / moves.sum(0).clamp_min(1)
        return bias.numpy()


@dataclass(frozen=True)
class CoordinateDescent:
    """Minimises, for one layer after the other,

        E |W x + r - W' x' - r'|^2 + share * sum_k E[x'_k^2] |W'_k - W_k|^2,   W' = s q,

    x, x' and the residuals r, r' less their means, x' and r' from the network quantized so far.  Integers q start at the
    nearest and are visited by :func:`descend` for at most ``sweeps`` sweeps.  Scales s are those of the choice times one of
    ``steps``, the best for each output channel.  ``share`` is the one of ``shares`` with which integers found on two thirds of
    the rows are best on the others: few rows say little of how inputs go together, and their weights then stay near the float
    ones, or what they were.  The bias gives back the mean of what lies behind the layer's clamp.  ``positions`` of the output,
    at most, drawn over all rows.  b1 weights have no neighbour and keep theirs, as do layers of more than 11,585 inputs, whose
    sums would not fit into memory."""

    sweeps: int = 20
    steps: tuple[float, ...] = (1.0, 0.75, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.2)
    shares: tuple[float, ...] = (100.0, 10.0, 1.0, 0.1, 0.01)
    positions: int = 32768
    seed: int = 0

    def __call__(self, task: Task) -> Task:
        began, free = time.monotonic(), isinstance(task.config.scale, FloatScale)
        gains: list[float] = []
        late: list[str] = []

        def find(node: Node, choice: Choice, values: dict[str, Pair], target: Tensor) -> LayerNumbers | None:
            left = task.seconds_left()
            if left is not None and left <= 0:
                late.append(node.name)
                return None
            numbers, gain = self.layer(task.targets, choice, node, values, target, free)
            gains.append(gain)
            return numbers

        choice, what = layer_by_layer(task, self, "coordinate descent", find)
        what += of_nearest(gains)
        what += f", {len(late)} layers left out: the time was over" if late else ""
        return task.with_choice(choice, Step("coordinate descent", what, time.monotonic() - began))

    def layer(
        self, graph: Graph, choice: Choice, node: Node, values: dict[str, Pair], target: Tensor, free: bool
    ) -> tuple[LayerNumbers, float]:
        """(integers of one layer, its squared error as a share of that of the integers it had).

        ``values``: those of its inputs, ``target``: what the float layer gives; ``free``: whether scales may be any number."""
        had, x = choice.layers[node.name], choice.values[node.inputs[0]]
        assert x is not None  # a layer reads integers
        seen = _Seen.of(graph, node, x, values, target, self.count(graph, node), self.seed)
        had_real = parameters_of(choice, node)
        before = seen.error(had_real)
        if before <= 0.0:
            return had, 1.0
        weights = had.weights
        if rounded_freely(choice, node) and 4 * seen.patches[0].numel() * seen.patches.shape[2] <= _INPUTS_BYTES:
            weights = self._rounded(graph.constants[node.inputs[1]], weights, seen, free)
        bias = seen.bias(weights)
        fits = channels_that_fit(weights, bias, x)
        if not fits.all():  # channels of hardly any weight, whose scales were doubled until their biases fitted
            weights, bias = _where(fits, weights, had.weights), np.where(fits, bias, had_real.bias.numpy())
        numbers = layer_numbers(weights, bias, x)
        if numbers is None:
            return had, 1.0
        after = seen.error(parameters_of(choice.with_layers({node.name: numbers}), node))
        return (had, 1.0) if after >= before else (numbers, after / before)

    @property
    def most_sweeps(self) -> int:
        """Over a layer: for scales, for shares, for all rows."""
        steps, shares = (len(tried) if len(tried) > 1 else 0 for tried in (self.steps, self.shares))
        return _LOOK * steps + self.sweeps * (shares + 1)

    def count(self, graph: Graph, node: Node) -> int:
        """Output positions of a layer that fit into memory."""
        return max(1024, min(self.positions, fitting(graph, node, 8)))

    def _rounded(self, weight: np.ndarray, had: Quantized, seen: _Seen, free: bool) -> Quantized:
        """Integers and their scales; those it ``had`` where none are better on rows that were left out."""
        groups, depth = seen.patches.shape[1:]

        def grouped(value: np.ndarray) -> Tensor:
            filled = np.broadcast_to(value, weight.shape).astype(np.float32)
            return torch.from_numpy(filled).reshape(groups, -1, depth)

        cells, real, params = cells_of(weight, had.params), grouped(weight), had.params
        step, whole = grouped(cells.step), Quadratic.of(seen.patches, seen.wanted)
        if free and params.scale.size == len(weight) and len(self.steps) > 1:
            factor = _best_factors(real, step, cells, self.steps, whole.shrunk(real, self.shares[-1]))
            params = replace(params, scale=params.scale * factor.numpy().reshape(-1))
            step = step * factor
        nearest = torch.round(real / step).clamp(cells.least, cells.most)

        def found(quadratic: Quadratic, share: float) -> Tensor:
            return descend(nearest, step, cells.least, cells.most, quadratic.shrunk(real, share), self.sweeps)

        share: float | None = self.shares[len(self.shares) // 2]
        if len(self.shares) > 1 and len(np.unique(seen.rows)) >= 2 * HELD_OUT:
            judging = torch.from_numpy(seen.rows % HELD_OUT == HELD_OUT - 1)
            fitted, judged = (Quadratic.of(seen.patches[which], seen.wanted[which]) for which in (~judging, judging))
            least, share = float(judged.loss(grouped(had.integers) * grouped(cells.step)).sum()), None
            for tried in self.shares:
                loss = float(judged.loss(found(fitted, tried) * step).sum())
                if loss < least:
                    least, share = loss, tried
        if share is None:
            return had
        return Quantized(found(whole, share).reshape(weight.shape).numpy().astype(had.integers.dtype), params)


def _best_factors(real: Tensor, step: Tensor, cells: Cells, factors: Sequence[float], quadratic: Quadratic) -> Tensor:
    """(G, O, 1): of each output channel the factor of its step with which a few sweeps come to the least loss."""
    losses = []
    for factor in factors:
        sized = step * factor
        q = torch.round(real / sized).clamp(cells.least, cells.most)
        losses.append(quadratic.loss(descend(q, sized, cells.least, cells.most, quadratic, _LOOK) * sized))
    return torch.tensor(factors)[torch.stack(losses).argmin(0)][..., None]


def _where(chosen: np.ndarray, first: Quantized, second: Quantized) -> Quantized:
    """Output channels of two weights that differ in integers and scales alone."""
    integers = np.where(chosen.reshape((-1,) + (1,) * (first.integers.ndim - 1)), first.integers, second.integers)
    scale = np.where(chosen, first.params.scale, second.params.scale) if first.params.scale.size > 1 else first.params.scale
    return Quantized(integers, replace(first.params, scale=scale))
