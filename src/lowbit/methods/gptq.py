"""GPTQ: weights are rounded one input after the other, and those that are left make up for the error.

Frantar, Ashkboos, Hoefler, Alistarh: GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, ICLR 2023
(after Hassibi and Stork's Optimal Brain Surgeon, and Frantar and Alistarh's Optimal Brain Compression).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lowbit.graph import Graph, Node
from lowbit.methods.layers import layer_by_layer
from lowbit.methods.numbers import cells_of, float_bias, layer_numbers, rounded_freely
from lowbit.methods.patches import Positions, fitting
from lowbit.methods.task import Step, Task
from lowbit.methods.walk import Pair
from lowbit.quantization import Choice, LayerNumbers, Quantized

__all__ = ["Gptq"]


@dataclass(frozen=True)
class Gptq:
    """For each layer in order, with x' what it reads in the network quantized so far and H = E[x' x'^T] + ``damping`` *
    mean(diag H): inputs are visited by falling diagonal of H; weight k of every output channel is rounded to its integer, and
    the later weights take up its error, w_j -= (w_k - q_k) U_kj / U_kk with U the upper Cholesky factor of H^-1 (section 3.3).
    Convolutions are products with patches; each group of channels has an H of its own.  The bias then takes up what is left
    of the mean error of each channel.  Scales stay.  ``positions``: of the output, drawn over all rows, that H is summed over."""

    damping: float = 0.01
    positions: int = 32768
    seed: int = 0

    def __call__(self, task: Task) -> Task:
        began = time.monotonic()

        def find(node: Node, choice: Choice, values: dict[str, Pair], _: Tensor) -> LayerNumbers:
            return self.layer(task.targets, choice, node, values)

        choice, what = layer_by_layer(task, self, "GPTQ", find)
        return task.with_choice(choice, Step("GPTQ", what, time.monotonic() - began))

    def layer(self, graph: Graph, choice: Choice, node: Node, values: dict[str, Pair]) -> LayerNumbers:
        """The integers of one layer; those it had where its type leaves no choice, or the sums do not fit."""
        had, held = choice.layers[node.name], choice.values[node.inputs[0]]
        assert held is not None  # a layer reads integers
        if not rounded_freely(choice, node):
            return had
        weight = graph.constants[node.inputs[1]]
        exact, rounded = values[node.inputs[0]]
        count = max(1024, min(self.positions, fitting(graph, node, 8)))
        positions = Positions.draw(graph, node, len(rounded), count, crc32(node.name.encode()) + self.seed)
        patches = positions.inputs(rounded, float(held.scale) if held.qtype.bipolar else 0.0).double().transpose(0, 1)
        cells = cells_of(weight, had.weights.params)
        groups, depth = patches.shape[0], patches.shape[2]
        hessian = torch.bmm(patches.transpose(1, 2), patches) / patches.shape[1]
        real = torch.from_numpy(weight).double().reshape(groups, -1, depth)
        step = torch.from_numpy(np.broadcast_to(cells.step, weight.shape).astype(np.float64)).reshape(real.shape)
        chosen = round_in_order(real, step, hessian, self.damping, cells.least, cells.most)
        integers = chosen.reshape(weight.shape).numpy().astype(had.weights.integers.dtype)
        means = positions.inputs(exact).double().mean(0), patches.mean(1)
        wanted, got = (torch.einsum("gok,gk->go", w, mean) for w, mean in zip((real, chosen * step), means, strict=True))
        bias = float_bias(graph, node) + (wanted - got).reshape(-1).numpy()
        return layer_numbers(Quantized(integers, had.weights.params), bias, held) or had


def round_in_order(weight: Tensor, step: Tensor, hessian: Tensor, damping: float, least: int, most: int) -> Tensor:
    """Integers q (G, O, K) such that sum over rows of (w - step q) H (w - step q)^T is small.

    ``weight``, ``step``: (G, O, K); ``hessian``: (G, K, K); all float64."""
    groups, _, depth = weight.shape
    diagonal = torch.diagonal(hessian, dim1=1, dim2=2)
    mean = diagonal.mean(1, keepdim=True)
    order = torch.argsort(diagonal, 1, descending=True)
    at = torch.arange(groups)[:, None]
    added = damping * torch.where(mean > 0, mean, torch.ones_like(mean))
    held = (hessian + torch.diag_embed(added.expand(-1, depth)))[at[..., None], order[:, :, None], order[:, None, :]]
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(held)), upper=True)
    left = weight.transpose(1, 2)[at, order]  # (G, K, O)
    steps = step.transpose(1, 2)[at, order]
    chosen = torch.empty_like(left)
    for k in range(depth):
        chosen[:, k] = torch.round(left[:, k] / steps[:, k]).clamp(least, most)
        error = (left[:, k] - chosen[:, k] * steps[:, k]) / upper[:, k, k, None]
        left[:, k + 1 :] -= upper[:, k, k + 1 :, None] * error[:, None]
    result = torch.empty_like(chosen)
    result[at, order] = chosen
    return result.transpose(1, 2)
