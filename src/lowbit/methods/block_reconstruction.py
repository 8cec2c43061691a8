"""Block reconstruction with dropped rounding: the layers of a block, their ranges included, are learned together.

Li, Gong, Tan, Yang, Hu, Zhang, Yu, Wang, Gu: BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction,
ICLR 2021.  Wei, Gong, Li, Liu, Yu: QDrop: Randomly Dropping Quantization for Extremely Low-bit Post-Training Quantization,
ICLR 2022.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph
from lowbit.methods.blocks import Block, blocks_of
from lowbit.methods.reconstruct import Schedule, learn, numbers_of, run_block
from lowbit.methods.simulate import grid_of
from lowbit.methods.store import unfinished
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import check_apart, rows_that_fit
from lowbit.progress import stage
from lowbit.quantization import Choice

__all__ = ["BlockReconstruction"]


@dataclass(frozen=True)
class BlockReconstruction:
    """Minimises, for one block after the other (BRECQ eq. 10 with the identity for the Fisher matrix),

        E |block(x; W, b) - block'(x'; W', b', s')|^2 / (the same for the numbers before) + lambda * mean(1 - |2 h - 1|^beta)

    over rounding variables (AdaRound), biases, and the scales of the values made inside (gradients as in LSQ), where block'
    rounds each activation, and each element of what it reads, only with probability 1 - ``drop`` (QDrop eq. 8).  Blocks lie
    between the points at which one value is live, and have at least ``layers`` layers.  ``rows``: of the samples at most.  An
    iteration takes ``batch`` rows, fewer where their outputs have more than ``positions`` positions, but ``least_batch``.
    Other parameters: methods/reconstruct.py."""

    iterations: int = 1000
    batch: int = 32
    least_batch: int = 4
    positions: int = 8192
    rate: float = 0.02
    scale_rate: float = 0.002
    regularization: float = 1.0
    beta: tuple[float, float] = (20.0, 2.0)
    warm: float = 0.2
    drop: float = 0.5
    layers: int = 2
    rows: int = 1024
    seed: int = 0

    def __call__(self, task: Task) -> Task:
        samples = task.samples_for("block reconstruction")
        check_apart(task.graph)
        rows = rows_that_fit(task.graph, min(self.rows, len(samples[0])))
        blocks, began = blocks_of(task.graph, self.layers), time.monotonic()
        store, choice, gains = unfinished(task, self), task.choice, []
        exact = {name: torch.from_numpy(value[:rows]) for name, value in zip(task.graph.inputs, samples, strict=True)}
        rounded = {n: v if (p := choice.values[n]) is None else grid_of(p)(v) for n, v in exact.items()}
        with stage("block reconstruction", len(blocks), task.progress) as advance:
            for index, block in enumerate(blocks):
                wanted = in_rows(task.graph, block, exact, None)
                found = store.get(block.name)
                if found is None:
                    left = task.seconds_left()
                    part = None if left is None else 0.8 * max(left, 0.0) / (len(blocks) - index)
                    moved, gain = learn(
                        task.graph, choice, task.config, block, exact, rounded, wanted, self._schedule(task.graph, block), part
                    )
                    gains.append(gain)
                    found = _difference(choice, moved)
                    store.keep(block.name, found)
                choice = choice.with_values(found.values).with_layers(found.layers)
                kept = {name for later in blocks[index + 1 :] for name in later.reads}
                rounded = {**rounded, **in_rows(task.graph, block, rounded, choice)}
                exact = {name: value for name, value in {**exact, **wanted}.items() if name in kept}
                rounded = {name: value for name, value in rounded.items() if name in kept}
                advance(1, f"block reconstruction {block.name}")
        what = f"{len(blocks)} blocks on {rows} rows"
        what += f", squared error of a block x {np.mean(gains):.2f}" if gains else ""
        return task.with_choice(choice, Step("block reconstruction", what, time.monotonic() - began))

    def _schedule(self, graph: Graph, block: Block) -> Schedule:
        seed = crc32(block.name.encode()) + self.seed
        positions = max(math.prod(graph.types[name].shape[2:]) for name in block.gives)
        batch = max(self.least_batch, min(self.batch, self.positions // positions))
        return Schedule(
            self.iterations, batch, self.rate, self.scale_rate, self.regularization, self.beta, self.warm, self.drop, seed
        )


@torch.no_grad()
def in_rows(graph: Graph, block: Block, given: dict[str, Tensor], choice: Choice | None, step: int = 64) -> dict[str, Tensor]:
    """What a block gives for all rows, some at a time; float without ``choice``."""
    held = None if choice is None else numbers_of(graph, choice, block)
    reads = {name: given[name] for name in block.reads}
    rows = len(next(iter(reads.values())))
    parts: list[dict[str, Tensor]] = [
        run_block(graph, block, {name: value[i : i + step] for name, value in reads.items()}, held) for i in range(0, rows, step)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in block.gives}


def _difference(before: Choice, after: Choice) -> Choice:
    """What of a choice is new."""
    values = {name: params for name, params in after.values.items() if params is not before.values[name]}
    layers = {name: numbers for name, numbers in after.layers.items() if numbers is not before.layers[name]}
    return Choice(values, layers)
