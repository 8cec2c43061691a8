"""Other scales for values, with what follows from them."""

from __future__ import annotations

from collections.abc import Mapping

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.methods.numbers import layer_numbers
from lowbit.methods.simulate import parameters_of
from lowbit.numerics import QParams
from lowbit.quantization import Choice, LayerNumbers

__all__ = ["with_values"]


def with_values(graph: Graph, choice: Choice, values: Mapping[str, QParams]) -> Choice | None:
    """The choice with these QParams; biases of layers that read such a value are rounded anew at the new scale.  None where no
    accumulator holds one."""
    layers: dict[str, LayerNumbers] = {}
    for node in graph.nodes:
        if node.op in LAYERS and node.inputs[0] in values:
            bias = parameters_of(choice, node).bias.numpy()
            numbers = layer_numbers(choice.layers[node.name].weights, bias, values[node.inputs[0]])
            if numbers is None:
                return None
            layers[node.name] = numbers
    return choice.with_values(values).with_layers(layers)
