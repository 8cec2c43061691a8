"""Rounding, biases and ranges of a part of a network, learned together on what the float network gives for that part."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph
from lowbit.graph.ops import PASS_THROUGH
from lowbit.methods.blocks import Block
from lowbit.methods.numbers import cells_of, layer_numbers, rounded_freely
from lowbit.methods.rectified import Latent, Rectified, start
from lowbit.methods.rescale import with_values
from lowbit.methods.simulate import Grid, Parameters, grid_of, parameters_of, run_node
from lowbit.numerics import QParams
from lowbit.quantization import Choice, FloatScale, LayerNumbers, QuantizationConfig, Quantized
from lowbit.quantization.plan import value_grids

__all__ = ["Coins", "Learned", "Schedule", "free_scales", "learn", "numbers_of", "run_block", "settled"]


@dataclass(frozen=True)
class Schedule:
    """``iterations`` of Adam on ``batch`` rows; ``rate`` of the rounding variables and biases, ``scale_rate`` of the logarithms
    of scales, both falling to 0 along a cosine; ``regularization``, ``beta`` and ``warm`` as in AdaRound; ``drop``: share of the
    activations that stay unrounded in each iteration (QDrop)."""

    iterations: int
    batch: int
    rate: float
    scale_rate: float
    regularization: float
    beta: tuple[float, float]
    warm: float
    drop: float
    seed: int

    def exponent(self, done: float) -> float:
        share = min(1.0, max(0.0, (done - self.warm) / (1 - self.warm)))
        return self.beta[1] + (self.beta[0] - self.beta[1]) * 0.5 * (1 + math.cos(share * math.pi))


@dataclass(frozen=True)
class Learned:
    """The variables of a block.  ``soft``: layer -> weights that are learned; ``fixed``: layer -> weights and bias that it had;
    ``shift``: layer -> what is added to its bias, in units of ``unit``; ``grids``: value -> its grid; ``logs``: root of a
    grid -> logarithm of its scale over the one it had."""

    soft: Mapping[str, Rectified | Latent]
    fixed: Mapping[str, Parameters]
    shift: Mapping[str, Tensor]
    unit: Mapping[str, float]
    grids: Mapping[str, Grid]
    root: Mapping[str, str]
    logs: Mapping[str, Tensor]

    def layer(self, name: str, hard: bool = False) -> Parameters:
        held = self.fixed[name]
        weight = held.weight
        if name in self.soft:
            weight = self.soft[name].hard() if hard else self.soft[name].weight()
        return Parameters(weight, held.bias + self.unit[name] * self.shift[name])

    def grid(self, name: str) -> Grid | None:
        held = self.grids.get(name)
        log = self.logs.get(self.root[name])
        return held if held is None or log is None else replace(held, scale=held.scale * torch.exp(log))


class Coins:
    """Tensors of truths of probability ``share``: pieces of one long draw, each from a random place on, since drawing anew costs
    more than a convolution."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        self._share, self._generator = share, generator
        self._drawn = torch.rand(1 << 20, generator=generator) < share

    def toss(self, shape: Sequence[int]) -> Tensor:
        count = math.prod(shape)
        if len(self._drawn) < count + _SLACK:
            self._drawn = torch.rand(count + 4 * _SLACK, generator=self._generator) < self._share
        begin = int(torch.randint(len(self._drawn) - count + 1, (1,), generator=self._generator))
        return self._drawn[begin : begin + count].view(*shape)


_SLACK = 1 << 16
_JUDGED = 256  # rows on which a block's numbers are compared with those before


def run_block(
    graph: Graph,
    block: Block,
    given: Mapping[str, Tensor],
    learned: Learned | None,
    hard: bool = False,
    coins: Coins | None = None,
) -> dict[str, Tensor]:
    """What a block gives for real values of any number of rows: the float block without ``learned``, else the quantized one."""
    values = dict(given)
    layers = {} if learned is None else {node.name: learned.layer(node.name, hard) for node in block.layers}
    last = {name: index for index, node in enumerate(block.nodes) for name in node.inputs}

    def bipolar(name: str) -> Tensor | None:
        grid = None if learned is None else learned.grid(name)
        return grid.scale if grid is not None and grid.bipolar else None

    for index, node in enumerate(block.nodes):
        value = run_node(graph, node, values, layers, bipolar)
        grid = None if learned is None or node.op in PASS_THROUGH else learned.grid(node.name)
        if grid is not None:
            rounded = grid(value)
            value = rounded if coins is None else torch.where(coins.toss(value.shape), value, rounded)
        values[node.name] = value
        for name in node.inputs:
            if last[name] == index and name not in block.gives:
                values.pop(name, None)
    return {name: values[name] for name in block.gives}


def numbers_of(graph: Graph, choice: Choice, block: Block) -> Learned:
    """A block as ``choice`` has it, with nothing to learn."""
    fixed = {node.name: parameters_of(choice, node) for node in block.layers}
    names = {*block.reads, *(node.name for node in block.nodes)}
    grids = {name: grid_of(params) for name in names if (params := choice.values[name]) is not None}
    shift = {name: torch.zeros_like(held.bias) for name, held in fixed.items()}
    return Learned({}, fixed, shift, dict.fromkeys(fixed, 1.0), grids, value_grids(graph), {})


def variables_of(graph: Graph, choice: Choice, config: QuantizationConfig, block: Block, wanted: Mapping[str, Tensor]) -> Learned:
    """The same with variables: weights between their two integers, midway from the float weight to the one it has; biases that
    move in units of 1/256 of their layer's range; scales that are free."""
    start_at = numbers_of(graph, choice, block)
    soft, unit = {}, {}
    for node in block.layers:
        if rounded_freely(choice, node):
            held = choice.layers[node.name].weights
            soft[node.name] = start(cells_of(graph.constants[node.inputs[1]], held.params), held.integers)
        grid = start_at.grids.get(node.name)
        reach = float(wanted[node.name].std()) if grid is None and node.name in wanted else 1.0
        unit[node.name] = (reach if grid is None else float(grid.scale) * (grid.qmax - grid.qmin)) / 256
    shift = {name: torch.zeros_like(held.bias, requires_grad=True) for name, held in start_at.fixed.items()}
    free = free_scales(graph, choice, config, block, start_at.root)
    logs = {name: torch.zeros((), requires_grad=True) for name in free}
    return replace(start_at, soft=soft, shift=shift, unit=unit, logs=logs)


def free_scales(graph: Graph, choice: Choice, config: QuantizationConfig, block: Block, root: Mapping[str, str]) -> list[str]:
    """Roots of grids of up to 8 bits whose values are all made in this block, and on which no constant lies."""
    if not isinstance(config.scale, FloatScale):
        return []
    made = {node.name for node in block.nodes}
    elsewhere = {
        root[name] for name in (*graph.inputs, *(n.name for n in graph.nodes if n.op not in PASS_THROUGH)) if name not in made
    }
    held = {root[name] for name, _ in choice.operands if graph.node(name).op == "concat"}
    found: dict[str, None] = {}
    for node in block.nodes:
        params = choice.values[node.name]
        if node.op not in PASS_THROUGH and params is not None and params.qtype.bits <= 8:
            found[root[node.name]] = None
    return [name for name in found if name not in elsewhere and name not in held]


def learn(
    graph: Graph,
    choice: Choice,
    config: QuantizationConfig,
    block: Block,
    exact: Mapping[str, Tensor],
    rounded: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    schedule: Schedule,
    seconds: float | None = None,
) -> tuple[Choice, float]:
    """(the choice with new numbers for the block, its squared error as a share of that before).

    ``exact``, ``rounded``: what the block reads in the float and in the quantized network; ``wanted``: what the float block
    gives."""
    rows = len(next(iter(rounded.values())))
    generator = torch.Generator().manual_seed(schedule.seed)
    judged = torch.randperm(rows, generator=generator)[:_JUDGED]
    before = _error(graph, block, choice, rounded, wanted, judged)
    if before <= 0.0:
        return choice, 1.0
    learned = variables_of(graph, choice, config, block, wanted)
    coins = Coins(schedule.drop, generator) if schedule.drop else None
    weights = [soft.v for soft in learned.soft.values()]
    groups = [{"params": [*weights, *learned.shift.values()], "lr": schedule.rate}]
    if learned.logs:
        groups.append({"params": list(learned.logs.values()), "lr": schedule.scale_rate})
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    total = sum(v.numel() for v in weights)
    began, done = time.monotonic(), 0.0
    while done < 1.0:
        chosen = torch.randint(rows, (schedule.batch,), generator=generator)
        given = {name: _mixed(exact[name][chosen], rounded[name][chosen], coins) for name in block.reads}
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.zero_grad()
        got = run_block(graph, block, given, learned, False, coins)
        loss = sum(((got[name] - wanted[name][chosen]).square().mean() for name in got), torch.zeros(())) / before
        if done > schedule.warm and total:
            beta = schedule.exponent(done)
            parts = [soft.unsettled(beta) * soft.v.numel() for soft in learned.soft.values() if isinstance(soft, Rectified)]
            unsettled = sum(parts, torch.zeros(()))
            loss = loss + schedule.regularization * unsettled / total
        loss.backward()
        optimizer.step()
        done += 1 / schedule.iterations
        if seconds is not None:
            done = max(done, (time.monotonic() - began) / seconds)
    found = settled(graph, choice, block, learned)
    if found is None:
        return choice, 1.0
    after = _error(graph, block, found, rounded, wanted, judged)
    return (found, after / before) if after < before else (choice, 1.0)


def _mixed(exact: Tensor, rounded: Tensor, coins: Coins | None) -> Tensor:
    """What a block reads: some of its elements from the float network."""
    return rounded if coins is None else torch.where(coins.toss(exact.shape), exact, rounded)


def _error(
    graph: Graph, block: Block, choice: Choice, rounded: Mapping[str, Tensor], wanted: Mapping[str, Tensor], chosen: Tensor
) -> float:
    """Mean squared error of what the block gives, summed over the values that it gives."""
    held = numbers_of(graph, choice, block)
    total = 0.0
    with torch.no_grad():
        for rows in chosen.split(64):
            got = run_block(graph, block, {name: value[rows] for name, value in rounded.items()}, held)
            total += sum(float((got[name] - wanted[name][rows]).square().mean()) for name in got) * len(rows)
    return total / len(chosen)


@torch.no_grad()
def settled(graph: Graph, choice: Choice, block: Block, learned: Learned) -> Choice | None:
    """The choice with what the variables have come to; None where no accumulator holds it."""
    moved: dict[str, QParams] = {}
    for name, params in choice.values.items():
        log = learned.logs.get(learned.root[name])
        if log is not None and params is not None:
            moved[name] = replace(params, scale=np.asarray(float(params.scale) * math.exp(float(log))))
    found = with_values(graph, choice, moved)
    if found is None:
        return None
    layers: dict[str, LayerNumbers] = {}
    for node in block.layers:
        weights, x = choice.layers[node.name].weights, found.values[node.inputs[0]]
        assert x is not None  # a layer reads integers
        if node.name in learned.soft:
            weights = Quantized(learned.soft[node.name].integers(weights.integers.dtype), weights.params)
        numbers = layer_numbers(weights, learned.layer(node.name, hard=True).bias.numpy(), x)
        if numbers is None:
            return None
        layers[node.name] = numbers
    return found.with_layers(layers)
