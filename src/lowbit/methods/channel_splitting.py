"""Dead channels carry copies of live ones, half a step apart: the channel has a grid twice as fine, at no cost.

Zhao, Hu, Dotzel, De Sa, Zhang: Improving Neural Network Quantization without Retraining using Outlier Channel Splitting,
ICML 2019, which widens layers to halve outliers of weights; here no layer gets wider, and it is values that are split.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.graph.ops import channel_multiplier
from lowbit.methods.equalization import pairs_of
from lowbit.methods.simulate import grid_of
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import by_channel, check_rows, float_values
from lowbit.quantization import Choice
from lowbit.quantization.plan import value_grids

__all__ = ["ChannelSplitting", "rows_with_dead_channels"]

_CONSTANT = 1e-6  # of a step: a channel that moves less is constant


@dataclass(frozen=True)
class Row:
    """Layers of which each alone reads what the one before gives: a dense one, depthwise ones, and the dense ``last`` in which
    channels meet again.  ``padded``: whether zeros join the channels in front of each depthwise layer and of the last."""

    layers: tuple[Node, ...]
    last: Node
    padded: tuple[bool, ...]


@dataclass(frozen=True)
class ChannelSplitting:
    """In a row of a dense layer A, depthwise layers and a dense layer C, a channel is dead that gives C one and the same number
    for everything that the grid in front of A holds (interval arithmetic over A's weights: proved, not observed).  Its number
    goes into C's bias, and the channel becomes one of the k copies of a live channel i, of which C reads

        sum_m (W_C[:, i] / k + o_m s_C) * y_m,    y_m = f(y_i + o_m s),    o_m = (m - (k - 1) / 2) / k,  m = 0..k-1

    with s the step of the value and s_C the steps of C's weights: rounded, the mean of the y_m has k times as many levels as
    y_i, and an error of 1/k^2.  Channels are chosen one after the other by what they take off

        |W_C[:, i]|^2 sum_v e_i(v) g_i(v),   e_i(v) = E[(y_v,i rounded - y_v,i)^2] on ``rows`` rows, v the values of the row

    with g_i(v) = the product of |W_i|^2 of the depthwise layers behind v.  The float network computes the same: there the y_m
    are equal, and the shifts o_m s are in the biases of the integers, and in what later methods aim at (``Task.shifted``)."""

    rows: int = 64

    changes_network: ClassVar[bool] = True  # its task has another float graph

    def __call__(self, task: Task) -> Task:
        samples, began = task.samples_for("channel splitting"), time.monotonic()
        found = rows_with_dead_channels(task)
        if not found:
            return task.with_choice(task.choice, Step("channel splitting", "no dead channels"))
        check_rows(task.graph, len(samples[0]))
        noise = _noise(task.graph, task.choice, [row for row, _ in found], [value[: self.rows] for value in samples])
        graph, shifts, means, split = task.graph, {}, {}, 0
        for row, dead in found:
            copies = _copies(graph, row, dead, noise)
            graph = _split(graph, task.choice, row, dead, copies)
            for node, shift, mean in _shifts(graph, row, copies, noise):
                shifts[node], means[node] = shift, mean
            split += len(copies)
        rounded = _with_biases(graph, {name: shifts[name] - means[name] for name in shifts})
        rows = [value[: 8 * self.rows] for value in samples]
        done = task.with_graph(graph, rows, rounded=rounded, shifted=_with_biases(graph, shifts))
        slots = sum(len(dead) for _, dead in found)
        what = f"{slots} dead channels of {len(found)} layers became copies of {split} others"
        return done.with_choice(done.choice, Step("channel splitting", what, time.monotonic() - began))


def rows_of(graph: Graph) -> Iterator[Row]:
    """The rows of a graph in which channels can be copied."""
    users, pairs = graph.users(), {first.name: second for first, second in pairs_of(graph, clamped=True)}

    def own(node: Node) -> bool:  # weights and a bias that nobody else reads
        constants = [name for name in node.inputs if name in graph.constants]
        return len(constants) == 2 and all(len(users[name]) == 1 for name in constants)

    for first in graph.nodes:
        if first.name not in pairs or first.attrs.get("groups", 1) != 1:
            continue
        layers, padded = [first], []
        second = pairs[first.name]
        while True:
            padded.append(_zeros_between(graph, layers[-1], second))
            if channel_multiplier(graph, second) != 1 or second.name not in pairs:
                break
            layers.append(second)
            second = pairs[second.name]
        if second.attrs.get("groups", 1) == 1 and all(own(node) for node in (*layers, second)):
            yield Row(tuple(layers), second, tuple(padded))


def rows_with_dead_channels(task: Task) -> list[tuple[Row, dict[int, float]]]:
    """Rows, and the number of each of their dead channels."""
    return [(row, dead) for row in rows_of(task.graph) if (dead := dead_channels(task, row))]


def _zeros_between(graph: Graph, first: Node, second: Node) -> bool:
    """Whether ``second`` reads zeros beside what ``first`` gives."""
    if any(second.attrs.get("padding", ())):
        return True
    name = second.inputs[0]
    while name != first.name:
        node = graph.node(name)
        if node.op not in ("reshape", "slice", "take"):
            return True
        name = node.inputs[0]
    return False


def dead_channels(task: Task, row: Row) -> dict[int, float]:
    """Channel -> the one number that ``row.last`` reads of it."""
    graph, choice, name = task.graph, task.choice, row.layers[0].inputs[0]
    grid, held = choice.values[name], choice.values[row.last.inputs[0]]
    if grid is None or held is None or grid.qtype.bipolar:
        return {}
    seen = task.calibration.histograms[value_grids(graph)[name]]
    ends = [float(grid.scale) * (q - grid.zero_point) for q in (grid.qtype.qmin, grid.qtype.qmax)]
    ends += [0.0, float(seen.minimum), float(seen.maximum)]  # what the samples had, and the zeros that pad
    shape = (1, *graph.constants[row.layers[0].inputs[1]].shape[1:])
    low, high = np.full(shape, min(ends)), np.full(shape, max(ends))
    for index, node in enumerate(row.layers):
        w, b = (graph.constants[name].astype(np.float64) for name in node.inputs[1:3])
        axes = tuple(range(1, w.ndim))
        ends_of = w * low, w * high
        bounds = node.attrs.get("lo"), node.attrs.get("hi")
        low, high = (np.clip(b + end(*ends_of).sum(axes), *bounds) for end in (np.minimum, np.maximum))
        if row.padded[index]:
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        if index + 1 < len(row.layers):
            shape = (-1,) + (1,) * (graph.constants[row.layers[index + 1].inputs[1]].ndim - 1)
            low, high = low.reshape(shape), high.reshape(shape)
    still = high - low <= _CONSTANT * float(held.scale)
    return {int(i): float((low[i] + high[i]) / 2) for i in np.flatnonzero(still)}


@dataclass(frozen=True)
class _Noise:
    """Of one value, per channel: the mean squared error of rounding, and the share of positions inside the clamp."""

    error: np.ndarray
    inside: np.ndarray
    step: float


def _noise(graph: Graph, choice: Choice, rows: Sequence[Row], samples: Sequence[np.ndarray]) -> dict[str, _Noise]:
    def visit(node: Node, y: Tensor) -> _Noise:
        grid, channels = choice.values[node.name], by_channel(node, y)
        if grid is None:
            return _Noise(np.zeros(len(channels)), np.ones(len(channels)), 0.0)
        lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
        inside = (channels > (-torch.inf if lo is None else lo)) & (channels < (torch.inf if hi is None else hi))
        error = (grid_of(grid)(channels) - channels).square().mean(1, dtype=torch.float64)
        return _Noise(error.numpy(), inside.double().mean(1).numpy(), float(grid.scale))

    return float_values(graph, samples, {node.name for row in rows for node in row.layers}, visit)


def _copies(graph: Graph, row: Row, dead: dict[int, float], noise: dict[str, _Noise]) -> dict[int, list[int]]:
    """Live channel -> the channels that carry it, itself first."""
    w = graph.constants[row.last.inputs[1]].astype(np.float64)
    harm = np.zeros(w.shape[1])
    for node in row.layers:
        harm = harm * (np.square(_weights(graph, node)).sum(1) if node is not row.layers[0] else 1.0) + noise[node.name].error
    harm = harm * np.square(w).sum(tuple(a for a in range(w.ndim) if a != 1))
    harm[list(dead)] = 0.0
    count = np.ones(len(harm))
    copies: dict[int, list[int]] = {}
    for slot in dead:
        gain = harm / count**2 - harm / (count + 1) ** 2
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        count[best] += 1
        copies.setdefault(best, [best]).append(slot)
    return copies


def _weights(graph: Graph, node: Node) -> np.ndarray:
    w = graph.constants[node.inputs[1]].astype(np.float64)
    return w.reshape(len(w), -1)


def _split(graph: Graph, choice: Choice, row: Row, dead: dict[int, float], copies: dict[int, list[int]]) -> Graph:
    """The graph with these copies; it computes the same."""
    held = {name: graph.constants[name].astype(np.float64) for node in (*row.layers, row.last) for name in node.inputs[1:3]}
    weights, bias = (held[name] for name in row.last.inputs[1:3])
    taps = tuple(range(1, weights.ndim - 1))
    for channel, number in dead.items():
        bias += number * weights[:, channel].sum(taps)
        weights[:, channel] = 0.0
    params = choice.layers[row.last.name].weights.params
    steps = params.scale.astype(np.float64) if params.axis == 0 and params.group_scale is None else np.zeros(len(weights))
    steps = steps.reshape((-1,) + (1,) * (weights.ndim - 2))
    for channel, slots in copies.items():
        for name in (name for node in row.layers for name in node.inputs[1:3]):
            held[name][slots] = held[name][channel]
        share = weights[:, channel] / len(slots)
        for slot, offset in zip(slots, _offsets(slots), strict=True):
            weights[:, slot] = share + offset * steps
    return graph.rebuild(graph.nodes, constants={name: value.astype(np.float32) for name, value in held.items()})


def _offsets(slots: list[int]) -> np.ndarray:
    """Of the copies of one channel, in steps."""
    return (np.arange(len(slots)) - (len(slots) - 1) / 2) / len(slots)


def _shifts(
    graph: Graph, row: Row, copies: dict[int, list[int]], noise: dict[str, _Noise]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each layer of a row, what its outputs shall be shifted by, and what the shifts before it move them by in the mean."""
    moved = np.zeros(len(graph.constants[row.layers[0].inputs[1]]))
    for index, node in enumerate(row.layers):
        seen, shift = noise[node.name], np.zeros(len(moved))
        for slots in copies.values():
            shift[slots] = _offsets(slots) * seen.step
        yield node.name, shift, moved * _weights(graph, node).sum(1) if index else moved
        inside = seen.inside.copy()
        for channel, slots in copies.items():
            inside[slots] = inside[channel]
        moved = shift * inside


def _with_biases(graph: Graph, added: dict[str, np.ndarray]) -> Graph:
    """The graph with this added to the biases of these layers."""
    names = {name: graph.node(name).inputs[2] for name in added}
    biases = {names[n]: (graph.constants[names[n]] + shift).astype(np.float32) for n, shift in added.items()}
    return graph.rebuild(graph.nodes, constants=biases)
