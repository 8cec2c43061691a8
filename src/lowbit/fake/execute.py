"""An integer graph run in torch: equal to the oracle, integer for integer, and differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import GraphError, InputError
from lowbit.fake.grid import Grid, Sum, finish, grid_of
from lowbit.fake.operations import OPERATIONS, Site
from lowbit.graph import Graph
from lowbit.graph.ops import PASS_THROUGH, POSITIONS
from lowbit.graph.oracle.layers import effective_weights

__all__ = ["execute", "held", "run"]


def execute(
    graph: Graph,
    inputs: Sequence[Tensor],
    observe: Callable[[str, Tensor], None] | None = None,
    *,
    constants: Mapping[str, Tensor] | None = None,
    scales: Mapping[str, Tensor] | None = None,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """Outputs of an integer graph for float32 ``inputs`` of its shapes.

    Quantized values are float32 tensors that hold the integers.  Without the two mappings everything equals
    ``graph.interpreter.interpret``, integer for integer.  ``constants``: integer weights, biases (float64) or other constants
    in place of the graph's, ``scales``: value or weights -> their scale (float32) in place of the graph's; both may ask for
    gradients, which pass through roundings unchanged, and through clamps where nothing is clipped, so that the gradient of
    a scale is that of LSQ (Esser et al. 2020, eq. 3).  Weights of grouped scales are given with their group's factor
    multiplied in.  ``observe(name, value)`` is called for every node.  Values are dropped after their last use.

    Raises InputError for wrong inputs, GraphError for a node with no integer meaning.
    """
    if len(inputs) != len(graph.inputs):
        raise InputError(f"{graph.name}: {len(inputs)} inputs given, takes {len(graph.inputs)}")
    for name, value in zip(graph.inputs, inputs, strict=True):
        if tuple(value.shape) != tuple(graph.types[name].shape):
            raise InputError(f"input {name!r} has shape {tuple(value.shape)}, must be {tuple(graph.types[name].shape)}")
        if value.is_complex():
            raise InputError(f"input {name!r} is {value.dtype}, must be float32")
    constants, scales = constants or {}, scales or {}
    place = torch.device(device) if device is not None else inputs[0].device if inputs else torch.device("cpu")
    values = {name: value.to(place, torch.float32) for name, value in zip(graph.inputs, inputs, strict=True)}
    values.update({name: constants[name] if name in constants else held(graph, name, place) for name in graph.constants})
    grids: dict[str, Grid | None] = {}
    for name, tensor in graph.types.items():
        grids[name] = None if tensor.quant is None else grid_of(tensor.quant, scales.get(name), place)
    return run(graph, values, grids, _on_integers, observe)


Call = Callable[[Site, Sequence[Tensor]], "Tensor | Sum"]


def _on_integers(site: Site, values: Sequence[Tensor]) -> Tensor | Sum:
    node = site.node
    if node.op not in OPERATIONS or (site.grids[0] is None and node.op not in (*PASS_THROUGH, *POSITIONS, "quantize")):
        raise GraphError(f"{node.name} ({node.op}): no integer meaning on float32; quantize the graph first")
    return OPERATIONS[node.op](site, values)


def run(
    graph: Graph,
    values: dict[str, Tensor],
    grids: Mapping[str, Grid | None],
    call: Call,
    observe: Callable[[str, Tensor], None] | None = None,
) -> list[Tensor]:
    """``call(site, operands)`` for every node, in order; sums are rounded to their grid.  ``values``: inputs and constants,
    used up."""
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, node in enumerate(graph.nodes):
        site = Site(node, tuple(grids[name] for name in node.inputs), grids[node.name], tuple(graph.types[node.name].shape))
        result = call(site, [values[name] for name in node.inputs])
        value = finish(result, node, site.out) if isinstance(result, Sum) else result
        values[node.name] = value
        if observe is not None:
            observe(node.name, value)
        for name in node.inputs:
            if last[name] == index and name not in graph.outputs:
                values.pop(name, None)
    return [values[name] for name in graph.outputs]


def held(graph: Graph, name: str, device: torch.device) -> Tensor:
    """A constant of an integer graph as :func:`execute` computes with it."""
    array, tensor = graph.constants[name], graph.types[name]
    if tensor.quant is not None:
        array = effective_weights(array, tensor)
        return torch.from_numpy(array.astype(np.float32)).to(device)
    return torch.from_numpy(np.array(array, np.float64 if array.dtype.kind == "i" else array.dtype)).to(device)
