"""From what a method found for a layer to integers that the accumulators hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.graph import Graph, Node
from lowbit.graph.bounds import is_wide, span
from lowbit.numerics import QParams
from lowbit.numerics.groups import group_factor
from lowbit.quantization import Choice, LayerNumbers, Quantized
from lowbit.quantization.weights import levels

__all__ = ["Cells", "cells_of", "channels_that_fit", "float_bias", "layer_numbers", "rounded_freely"]


def rounded_freely(choice: Choice, node: Node) -> bool:
    """Whether a layer's weights have neighbours to be rounded to: b1 has none, and of 16 bits the nearest is as good as any."""
    return not (q := choice.layers[node.name].weights.params.qtype).bipolar and q.bits <= 8


@dataclass(frozen=True)
class Cells:
    """Weights (O, I, ...) in units of their own step: ``exact`` = w / step, ``low`` = floor(exact); ``least``, ``most``: the
    levels of the type.  ``step``: scale per output channel times the group's factor, of a shape that broadcasts."""

    exact: np.ndarray
    low: np.ndarray
    step: np.ndarray
    least: int
    most: int


def cells_of(weight: np.ndarray, params: QParams) -> Cells:
    """Where each float weight lies between the integers of ``params``."""
    factor = group_factor(params, weight.shape)
    step = params.scale.reshape((-1,) + (1,) * (weight.ndim - 1)) * (
        np.float32(1) if factor is None else factor.astype(np.float32)
    )
    exact = (weight.astype(np.float64) / step).astype(np.float32)
    return Cells(exact, np.floor(exact), step, *levels(params.qtype))


def float_bias(graph: Graph, node: Node) -> np.ndarray:
    """The layer's bias; zeros where it has none."""
    has_bias = len(node.inputs) > 2 + bool(node.attrs.get("residual"))
    weight = graph.constants[node.inputs[1]]
    return graph.constants[node.inputs[2]] if has_bias else np.zeros(len(weight), np.float32)


def channels_that_fit(weights: Quantized, bias: np.ndarray, x: QParams) -> np.ndarray:
    """(O,): whether the accumulators hold every sum and bias of an output channel that reads values of ``x``; the limits are
    those of quantization/layer_numbers.py."""
    limit = 2**52 if is_wide(x, weights.params) else 2**30
    factor = group_factor(weights.params, weights.integers.shape)
    size = np.abs(weights.integers.astype(np.float64)) * (1 if factor is None else factor)
    sums = span(x) * size.reshape(len(size), -1).sum(1)
    with np.errstate(over="ignore"):
        steps = np.rint(np.asarray(bias, np.float64) / (x.scale.astype(np.float64) * weights.params.scale.astype(np.float64)))
    return (sums < limit) & (np.abs(steps) <= limit)


def layer_numbers(weights: Quantized, bias: np.ndarray, x: QParams) -> LayerNumbers | None:
    """The integers of a layer that reads values of ``x``; None where no accumulator holds their sums: the numbers that the
    layer has, whose scales were doubled until they fit, then stay."""
    return LayerNumbers.round_bias(weights, bias, x) if channels_that_fit(weights, bias, x).all() else None
