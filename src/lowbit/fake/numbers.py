"""Between the parameters that torch learns and the numbers of an integer network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import ConfigError
from lowbit.fake.quantizer import TensorQuantizer
from lowbit.fake.steps import Layer
from lowbit.graph import Graph, TensorType
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QParams, QType, dequantize
from lowbit.quantization.choice import Choice, LayerNumbers, Quantized, operand_params
from lowbit.quantization.weights import round_weights

__all__ = ["dictated", "learned_choice", "learned_graph", "masters"]


def masters(w: np.ndarray, numbers: LayerNumbers, x: QParams) -> tuple[Tensor, Tensor]:
    """Float weights that round to these integers, the given ones where they do; and the bias in float64, which rounds to the
    integer bias at scale s_x * s_w."""
    weights = numbers.weights
    agree = round_weights(w, weights.params) == weights.integers
    master = np.where(agree, w, dequantize(weights.integers, weights.params))
    bias = numbers.bias.astype(np.float64) * (x.scale.astype(np.float64) * weights.params.scale.astype(np.float64))
    return torch.from_numpy(np.asarray(master, np.float32)), torch.from_numpy(bias)


def learned_graph(graph: Graph, layers: Mapping[str, Layer]) -> Graph:
    """The float graph with the weights and biases of these layers."""
    constants: dict[str, np.ndarray] = {}
    types: dict[str, TensorType] = {}
    nodes = []
    for node in graph.nodes:
        if node.op in LAYERS:
            layer = layers[node.name]
            constants[node.inputs[1]] = layer.weight.detach().cpu().numpy().copy()
            bias = layer.bias.detach().cpu().numpy().astype(np.float32)
            if len(node.inputs) > 2 + bool(node.attrs.get("residual")):
                constants[node.inputs[2]] = bias
            elif bias.any():
                name = f"{node.name}.bias"
                while name in graph.types or name in types:
                    name += "'"
                constants[name], types[name] = bias, TensorType(bias.shape)
                node = replace(node, inputs=(*node.inputs[:2], name, *node.inputs[2:]))
        nodes.append(node)
    return graph.rebuild(nodes, types, constants)


def learned_choice(graph: Graph, made: Choice, values: Mapping[str, QParams | None], layers: Mapping[str, Layer]) -> Choice:
    """``made`` with these QParams and what the layers' parameters round to.

    Raises NumericsError for a bias that no accumulator holds at its scale."""
    numbers: dict[str, LayerNumbers] = {}
    operands = dict(made.operands)
    for node in graph.nodes:
        if node.op in LAYERS:
            layer = layers[node.name]
            params = layer.weight_quantizer.params
            with torch.no_grad():
                q = layer.weight_quantizer.integers(layer.weight).cpu().numpy()
            weights = Quantized(q.astype(params.qtype.dtype), params)
            numbers[node.name] = LayerNumbers.round_bias(
                weights, layer.bias.detach().cpu().numpy(), operand_params(values, node, 0)
            )
        out = values[node.name]
        for index, name in enumerate(node.inputs):
            if node.op == "concat" and (node.name, index) in operands and out is not None:
                operands[node.name, index] = Quantized.round(graph.constants[name], out)
    return Choice(values, numbers, operands)


def dictated(quantizer: TensorQuantizer, qtype: QType, channels: int | None) -> QParams | None:
    """QParams that a quantizer's descriptor asks for, of a value or (``channels``) of a layer's weights; None where the scale
    shall follow from what was seen.  Raises ConfigError for another number of them."""
    scale = quantizer.descriptor.scale(qtype)
    if scale is None:
        return None
    array = np.asarray(scale, np.float32)
    allowed = 1 if channels is None else channels
    if array.ndim and (channels is None or array.size != channels):
        raise ConfigError(f"{quantizer.name}: {array.size} numbers for amax; it has {allowed} scale{'s' if allowed != 1 else ''}")
    if channels is None:
        return QParams(qtype, array)
    return QParams(qtype, np.broadcast_to(array, (channels,)).copy(), 0, 0)
