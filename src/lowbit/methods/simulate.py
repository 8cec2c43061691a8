"""The integer network in real numbers: float operations whose results lie on the grids of a choice, differentiable.

Equal to the integer graph up to where a rounded value lies within float32's error of a half; what is learned on it is judged on
the integer graph itself (methods/judge.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.frontend.evaluation import compute
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QParams, dequantize
from lowbit.quantization import Choice

__all__ = ["Grid", "Parameters", "grid_of", "parameters_of", "round_ste", "run_node"]


def round_ste(x: Tensor) -> Tensor:
    """rint(x), whose gradient is that of x (Bengio et al. 2013)."""
    return x + (torch.round(x) - x).detach()


class _Rounded(torch.autograd.Function):
    """s clip(rint(x / s), lo, hi) in few passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, lo: int, hi: int) -> Tensor:
        steps = x / scale
        q = torch.round(steps).clamp_(lo, hi)
        ctx.save_for_backward(steps, q)
        ctx.ends = lo, hi
        return q * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        steps, q = ctx.saved_tensors
        passed = torch.ops.aten.hardtanh_backward(grads[0], steps, *ctx.ends)  # 0 where clipped; one pass
        scale = None
        if ctx.needs_input_grad[1]:
            scale = (grads[0].flatten() @ q.flatten()) - (passed.flatten() @ steps.flatten())
        return passed, scale, None, None


@dataclass(frozen=True)
class Grid:
    """The numbers scale * (q - zero), q = qmin .. qmax; {-scale, scale} where bipolar.  ``scale``: 0-dim, may be learned."""

    scale: Tensor
    zero: int
    qmin: int
    qmax: int
    bipolar: bool

    def __call__(self, x: Tensor) -> Tensor:
        """The nearest number of the grid; gradients: of x inside the range (straight through), of the scale as in LSQ
        (Esser et al. 2020, eq. 3): rint(x/s) - x/s inside, the end of the range outside."""
        if self.bipolar:
            return self.scale * (torch.where(x >= 0, 1.0, -1.0) - x.clamp(-1, 1)).detach() + self.scale * x.clamp(-1, 1)
        rounded: Tensor = _Rounded.apply(x, self.scale, self.qmin - self.zero, self.qmax - self.zero)
        return rounded


def grid_of(params: QParams) -> Grid:
    q = params.qtype
    return Grid(torch.tensor(float(params.scale)), params.zero_point, q.qmin, q.qmax, q.bipolar)


@dataclass(frozen=True)
class Parameters:
    """Of one layer, in real numbers."""

    weight: Tensor
    bias: Tensor


def parameters_of(choice: Choice, node: Node) -> Parameters:
    """What the integers of a layer mean: s_w q, and s_x s_w b."""
    numbers, x = choice.layers[node.name], choice.values[node.inputs[0]]
    assert x is not None  # a layer reads integers
    weight = torch.from_numpy(dequantize(numbers.weights.integers, numbers.weights.params))
    unit = float(x.scale) * numbers.weights.params.scale.astype("float64")
    return Parameters(weight, torch.from_numpy((numbers.bias * unit).astype("float32")))


def run_node(
    graph: Graph,
    node: Node,
    values: Mapping[str, Tensor],
    layers: Mapping[str, Parameters] | None = None,
    bipolar: Callable[[str], Tensor | None] = lambda _: None,
) -> Tensor:
    """One operation on real ``values``, with other weights and bias where ``layers`` has some; of any number of rows, unless they
    meet in it (graph/rebatch.py): then of the graph's.

    ``bipolar(name)``: the scale of a b1 value, on which padding with 0 gives +1; else None."""
    given = [values[name] if name in values else torch.from_numpy(graph.constants[name].copy()) for name in node.inputs]
    shape = graph.types[node.name].shape
    if given[0].shape[0] != graph.types[node.inputs[0]].shape[0]:
        shape = (given[0].shape[0], *shape[1:])
    if node.op in LAYERS and layers is not None and node.name in layers:
        residual = given[-1:] if node.attrs.get("residual") else []
        given = [given[0], layers[node.name].weight, layers[node.name].bias, *residual]
    scale = bipolar(node.inputs[0]) if node.op == "conv2d" and any(node.attrs["padding"]) else None
    if scale is not None:
        top, left, bottom, right = node.attrs["padding"]
        given[0] = F.pad(given[0], (left, right, top, bottom)) + scale * F.pad(
            torch.zeros_like(given[0]), (left, right, top, bottom), value=1.0
        )
        node = node.with_attrs(padding=(0, 0, 0, 0))
    return compute(node, shape, *given)


def readers_left(nodes: Iterable[Node]) -> dict[str, int]:
    """Value -> index of the node that reads it last."""
    return {name: index for index, node in enumerate(nodes) for name in node.inputs}
