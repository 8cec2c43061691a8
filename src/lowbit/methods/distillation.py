"""Distillation: the whole quantized network learns to give what the float one gives, on calibration samples without labels.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, for the loss; Esser, McKinstry, Bablani, Appuswamy,
Modha: Learned Step Size Quantization, ICLR 2020, for the gradients; that a short one repairs what layer-by-layer methods
leave: Wei et al. 2022.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.methods.blocks import Block, live_values
from lowbit.methods.judge import Judge, gives_logits
from lowbit.methods.numbers import cells_of, float_bias, rounded_freely
from lowbit.methods.reconstruct import Coins, Learned, run_block, settled, variables_of
from lowbit.methods.rectified import start_latent
from lowbit.methods.simulate import Parameters, grid_of
from lowbit.methods.store import unfinished
from lowbit.methods.task import Step, Task
from lowbit.methods.views import Views
from lowbit.methods.walk import check_apart
from lowbit.progress import stage
from lowbit.quantization import Choice, apply

__all__ = ["Distillation", "leading_layers"]


@dataclass(frozen=True)
class Distillation:
    """Minimises over weights, biases and the scales of values, all at once,

        KL(softmax(float) || softmax(quantized)) / (its value before)  +  ``features`` * mean over the last ``points`` points
        (None: all) at which one value is live of E |float - quantized|^2 / E |float - its mean|^2

    (for outputs that are no logits the squared error takes the place of the first term), starting from the integers that the
    task has: latent weights lie in the cells of these.  ``iterations`` of Adam on ``batch`` rows, with ``views`` seen
    anew each time; ``rate``: of a weight, as a share of the levels of its type; ``scale_rate`` and ``bias_rate`` as in block
    reconstruction; all rise during the share ``warm`` and fall to 0 along a cosine.  ``drop``: share of activations that stay
    unrounded.

    ``weights_per_row``: weights are learned in the first layers alone, as many of these as have no more than so many weights
    together for each row; None: in all.  Few rows do not determine all weights of a network: learned all the same,
    MobileNetV1 on 67 photographs gives their outputs and no others (docs/accuracy.md).  The remaining layers keep their integers
    and biases.  With ``rest_in_float`` they compute with their float weights meanwhile, for somebody else to round them
    afterwards; the numbers are then those of the last iteration.  Else, after each of ``checks`` parts, they are judged on the
    rows that are not fitted, and the best are kept."""

    iterations: int = 600
    batch: int = 32
    rate: float = 5e-5
    scale_rate: float = 1e-4
    bias_rate: float = 0.1
    features: float = 1.0
    points: int | None = None
    drop: float = 0.0
    views: Views | None = None
    weights_per_row: float | None = None
    rest_in_float: bool = False
    warm: float = 0.0
    checks: int = 8
    seed: int = 0

    def __call__(self, task: Task) -> Task:
        samples = task.samples_for("distillation")
        check_apart(task.graph)
        began, graph = time.monotonic(), task.graph
        inner = [name for live in live_values(graph)[:-1] if len(live) == 1 for name in live]
        inner = [name for name in dict.fromkeys(inner) if name not in graph.inputs and name not in graph.outputs]
        inner = inner if self.points is None else inner[max(0, len(inner) - self.points) :]
        whole = Block(graph.nodes, graph.inputs, (*inner, *graph.outputs))
        limit = math.inf if self.weights_per_row is None else self.weights_per_row * len(samples[0])
        few = leading_layers(graph, limit)
        learned = _latent(graph, task, whole, few, self.rest_in_float)
        optimizer = self._optimizer(learned)
        rates = [group["lr"] for group in optimizer.param_groups]
        generator = torch.Generator().manual_seed(self.seed)
        coins = Coins(self.drop, generator) if self.drop else None
        judge = Judge.of(graph, task.held)
        store = unfinished(task, self)
        best, least = task.choice, judge.error(apply(graph, task.choice))
        first, rows, done, checked = least, len(samples[0]), 0.0, 0
        loss_of = _Loss(graph, inner, self.features)
        if (kept := store.state("state")) is not None:
            done, checked, least, loss_of.first = kept["numbers"]
            _restore(learned, optimizer, generator, kept)
            best = _with(best, store.get("best"))
        before, seconds = done, task.seconds_left()
        with stage("distillation", self.iterations, task.progress) as advance:
            advance(round(done * self.iterations))
            while done < 1.0:
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * done)) * self._warmed(done)
                chosen = torch.randint(rows, (self.batch,), generator=generator).numpy()
                seen = [torch.from_numpy(value[chosen]) for value in samples]
                seen = seen if self.views is None else self.views(seen, generator)
                given = dict(zip(graph.inputs, seen, strict=True))
                with torch.no_grad():
                    wanted = run_block(graph, whole, given, None)
                    given = {n: v if (p := task.choice.values[n]) is None else grid_of(p)(v) for n, v in given.items()}
                optimizer.zero_grad()
                loss_of(run_block(graph, whole, given, learned, False, coins), wanted).backward()
                optimizer.step()
                done += 1 / self.iterations
                if seconds is not None:
                    done = max(done, before + (1 - before) * (time.monotonic() - began) / (0.9 * seconds))
                advance()
                if done * self.checks >= checked + 1 or done >= 1.0:
                    checked = int(done * self.checks)
                    if not self.rest_in_float:
                        found = settled(graph, task.choice, whole, learned)
                        error = math.inf if found is None else judge.error(apply(graph, found))
                        if found is not None and error < least:
                            best, least = found, error
                            store.keep("best", Choice(found.values, found.layers))
                    store.keep_state("state", _state(learned, optimizer, generator, (done, checked, least, loss_of.first)))
        what = f"{len(few)} of {len(whole.layers)} layers on {rows} rows"
        if self.rest_in_float:
            best = settled(graph, task.choice, whole, learned) or task.choice
            return task.with_choice(best, Step("distillation", f"{what}, the others in float", time.monotonic() - began))
        return task.with_choice(best, Step("distillation", what, time.monotonic() - began, first, least))

    def _warmed(self, done: float) -> float:
        """The share of its rate that an iteration has in the beginning."""
        return min(1.0, (done + 1 / self.iterations) / self.warm) if self.warm else 1.0

    def _optimizer(self, learned: Learned) -> torch.optim.Optimizer:
        groups = [{"params": [soft.v], "lr": self.rate * (soft.most - soft.least)} for soft in learned.soft.values()]
        groups.append({"params": [shift for shift in learned.shift.values() if shift.requires_grad], "lr": self.bias_rate})
        groups.append({"params": list(learned.logs.values()), "lr": self.scale_rate})
        return torch.optim.Adam([group for group in groups if group["params"]])


def leading_layers(graph: Graph, weights: float) -> list[str]:
    """The first layers, as many as have at most so many weights together."""
    layers = [node for node in graph.nodes if node.op in LAYERS]
    totals = accumulate(graph.constants[node.inputs[1]].size for node in layers)
    return [node.name for node, total in zip(layers, totals, strict=True) if total <= weights]


def _latent(graph: Graph, task: Task, whole: Block, few: Collection[str], rest_in_float: bool) -> Learned:
    """``few``: layers whose weights and biases are learned.  The others keep theirs, or with ``rest_in_float`` have those of the
    float network."""
    learned = variables_of(graph, task.choice, task.config, whole, {})
    soft, fixed, shift = {}, dict(learned.fixed), dict(learned.shift)
    for node in whole.layers:
        if node.name in few and rounded_freely(task.choice, node):
            held = task.choice.layers[node.name].weights
            soft[node.name] = start_latent(cells_of(graph.constants[node.inputs[1]], held.params), held.integers)
        if node.name not in few:
            shift[node.name] = shift[node.name].detach()
            if rest_in_float:
                weight, bias = graph.constants[node.inputs[1]], float_bias(graph, node)
                fixed[node.name] = Parameters(torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy()))
    return replace(learned, soft=soft, fixed=fixed, shift=shift)


def _variables(learned: Learned) -> list[Tensor]:
    return [*(soft.v for soft in learned.soft.values()), *learned.shift.values(), *learned.logs.values()]


def _state(
    learned: Learned, optimizer: torch.optim.Optimizer, generator: torch.Generator, numbers: tuple[float, ...]
) -> dict[str, Any]:
    """Everything that the next iteration depends on."""
    variables = [value.detach() for value in _variables(learned)]
    return {
        "variables": variables,
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "numbers": list(numbers),
    }


def _restore(learned: Learned, optimizer: torch.optim.Optimizer, generator: torch.Generator, state: Mapping[str, Any]) -> None:
    for value, kept in zip(_variables(learned), state["variables"], strict=True):
        value.data.copy_(kept)
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"])


def _with(choice: Choice, found: Choice | None) -> Choice:
    return choice if found is None else choice.with_values(found.values).with_layers(found.layers)


class _Loss:
    """The first loss is 1 + ``features`` times the first error of features."""

    def __init__(self, graph: Graph, inner: list[str], features: float) -> None:
        self._outputs, self._inner, self._features = graph.outputs, inner, features
        self._logits, self.first = gives_logits(graph), 0.0

    def __call__(self, got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        if self._logits:
            p, q = (F.log_softmax(side[self._outputs[0]], 1) for side in (wanted, got))
            loss = (p.exp() * (p - q)).sum(1).mean()
        else:
            loss = torch.stack([_relative(got[name], wanted[name]) for name in self._outputs]).mean()
        self.first = self.first or max(float(loss.detach()), 1e-12)
        loss = loss / self.first
        if self._inner and self._features:
            parts = torch.stack([_relative(got[name], wanted[name]) for name in self._inner])
            loss = loss + self._features * parts.mean()
        return loss


def _relative(got: Tensor, wanted: Tensor) -> Tensor:
    return (got - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum().clamp_min(1e-12)
