"""Layers as matrix products: what a sample of their output positions reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.graph import Graph, Node

__all__ = ["Positions", "fitting", "matrix_product"]

_BYTES = 192 << 20


def fitting(graph: Graph, node: Node, width: int = 4) -> int:
    """How many output positions of a layer lie in memory together with what they read, of ``width`` bytes a value."""
    size = int(np.prod(graph.types[node.inputs[1]].shape[1:])) * node.attrs.get("groups", 1)
    return _BYTES // (width * size)


@dataclass(frozen=True)
class Positions:
    """Output positions of a layer, drawn without replacement: of conv2d (row, y, x), of linear all but the last axis."""

    node: Node
    kernel: tuple[int, ...]
    index: tuple[np.ndarray, ...]

    @classmethod
    def draw(cls, graph: Graph, node: Node, rows: int, count: int, seed: int) -> Positions:
        """``count`` of the positions of the layer's output over so many rows, or all of them."""
        shape = (rows, *graph.types[node.name].shape[1:])
        spatial = (shape[0], *shape[2:]) if node.op == "conv2d" else shape[:-1]
        total = int(np.prod(spatial))
        chosen = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
        return cls(node, graph.types[node.inputs[1]].shape[2:], tuple(np.unravel_index(np.sort(chosen), spatial)))

    def outputs(self, value: Tensor) -> Tensor:
        """(P, O): what an output, or a residual of its shape, holds there."""
        if self.node.op == "conv2d":
            row, y, x = map(torch.from_numpy, self.index)
            return value[row, :, y, x]
        return value[tuple(map(torch.from_numpy, self.index))]

    def inputs(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(P, G, K): what each position reads of ``x``, K in the order of a group's weights (I, taps); outside lies ``fill``."""
        index = tuple(map(torch.from_numpy, self.index))
        if self.node.op != "conv2d":
            return x[index][:, None]
        attrs = self.node.attrs
        top, left, bottom, right = attrs["padding"]
        x = F.pad(x, (left, right, top, bottom), value=fill) if any(attrs["padding"]) else x
        row, y, column = index
        (sy, sx), (dy, dx) = attrs["stride"], attrs["dilation"]
        taps = [x[row, :, y * sy + ky * dy, column * sx + kx * dx] for ky, kx in np.ndindex(*self.kernel)]
        return torch.stack(taps, 2).reshape(len(row), attrs["groups"], -1)


def matrix_product(patches: Tensor, weight: Tensor) -> Tensor:
    """(P, G, K) patches, weights (O, ...) of G groups -> (P, O)."""
    count, groups, depth = patches.shape
    if groups == 1:
        return patches[:, 0] @ weight.reshape(-1, depth).T
    if len(weight) == groups:  # depthwise: a product for every channel would be a call for every channel
        return (patches * weight.reshape(groups, depth)).sum(2)
    by_group = weight.reshape(groups, -1, depth)
    return torch.bmm(patches.transpose(0, 1), by_group.transpose(1, 2)).transpose(0, 1).reshape(count, -1)
