"""Float graph + what was observed + configuration -> the numbers of the integer graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from lowbit.errors import CalibrationWarning, NumericsError, warn
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.graph.unary import function_of
from lowbit.numerics import QParams, QType, quantize
from lowbit.quantization.activations import SMALLEST_SCALE, activation_params
from lowbit.quantization.calibration import Calibration
from lowbit.quantization.choice import Choice, LayerNumbers, Quantized, constant_operands, operand_params, output_params
from lowbit.quantization.config import LayerPrecision, QuantizationConfig
from lowbit.quantization.layer_numbers import quantize_parameters
from lowbit.quantization.plan import Plan, make_plan
from lowbit.quantization.weights import round_weights

__all__ = ["choose"]

_I16 = QType(16, True)

Rounding: TypeAlias = Callable[..., tuple[np.ndarray, QParams, np.ndarray]]
"""Of quantize_parameters' arguments and result."""


def choose(
    graph: Graph,
    calibration: Calibration,
    config: QuantizationConfig,
    plan: Plan | None = None,
    values: Mapping[str, QParams] = MappingProxyType({}),
    weights: Mapping[str, QParams] = MappingProxyType({}),
    rounding: Rounding = quantize_parameters,
) -> Choice:
    """Scales and zero points from the ranges seen, weights rounded to nearest, biases that take up their mean error.

    ``plan``: who computes in how many bits, in place of what follows from ``config``.  ``values``, ``weights``: value that gives
    its grid to others, layer -> QParams to take as they are.  ``rounding``: what makes a layer's integers, for whoever remembers
    them.

    Raises CalibrationError for a calibration of another graph, UnsupportedOperation for a value that has no integer form,
    ConfigError and UnsupportedPrecision for an impossible configuration, NumericsError for non-finite weights and for
    sums that no accumulator holds.  Warns (CalibrationWarning) of values of which one integer is left.
    """
    plan = plan or make_plan(graph, config)
    calibration.check(graph)
    held = _value_params(graph, plan, calibration, config, values)
    _warn_of_constants(graph, held, calibration)
    layers: dict[str, LayerNumbers] = {}
    operands: dict[tuple[str, int], Quantized] = {}
    for node in graph.nodes:
        if node.op in LAYERS:
            x = operand_params(held, node, 0)
            means = calibration.input_means.get(node.name) if config.bias_correction else None
            layers[node.name] = _layer(graph, node, x, plan.layers[node.name], config, means, weights.get(node.name), rounding)
        for index in constant_operands(graph, node):
            operands[node.name, index] = _operand(graph.constants[node.inputs[index]], node, held)
    return Choice(held, layers, operands)


def _value_params(
    graph: Graph, plan: Plan, calibration: Calibration, config: QuantizationConfig, given: Mapping[str, QParams]
) -> dict[str, QParams | None]:
    """Value -> QParams; all values of a grid share theirs."""
    functions = _functions_that_read(graph, plan)
    grids = {
        root: None
        if requested is None
        else given.get(root) or activation_params(calibration.histograms[root], requested, config, functions.get(root))
        for root, requested in plan.requested.items()
    }
    return {name: grids[root] for name, root in plan.grid.items()}


def _functions_that_read(graph: Graph, plan: Plan) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Value with a grid of its own that nothing but one function reads -> this function."""
    alone = {root for root, count in Counter(plan.grid.values()).items() if count == 1} - set(graph.outputs)
    readers: dict[str, list[Node]] = {name: [] for name in alone}
    for node in graph.nodes:
        for name in alone.intersection(node.inputs):
            readers[name].append(node)
    return {
        name: function_of(nodes[0].attrs)
        for name, nodes in readers.items()
        if nodes and all(node.op == "unary" and node.attrs == nodes[0].attrs for node in nodes)
    }


def _layer(
    graph: Graph,
    node: Node,
    x: QParams,
    precision: LayerPrecision,
    config: QuantizationConfig,
    means: np.ndarray | None,
    given: QParams | None,
    rounding: Rounding,
) -> LayerNumbers:
    w = graph.constants[node.inputs[1]]
    has_bias = len(node.inputs) > 2 + bool(node.attrs.get("residual"))
    bias = graph.constants[node.inputs[2]] if has_bias else np.zeros(len(w), np.float32)
    qtype = precision.weights or config.weights
    try:
        if given is not None:
            return LayerNumbers.round_bias(Quantized(round_weights(w, given), given), bias, x)
        q, params, q_bias = rounding(config, w, bias, x, qtype, precision.container, means)
    except NumericsError as error:
        raise NumericsError(f"{node.name} ({node.op}): {error}") from None
    return LayerNumbers(Quantized(q, params), q_bias)


def _operand(constant: np.ndarray, node: Node, values: Mapping[str, QParams | None]) -> Quantized:
    """On the output's grid where it is concatenated, else as symmetric i16: its rounding error is 2^-16 of its range."""
    if node.op == "concat":
        return Quantized.round(constant, output_params(values, node))
    reach = float(np.abs(constant).max(initial=0))
    return Quantized.round(constant, QParams(_I16, np.asarray(max(reach / _I16.qmax, SMALLEST_SCALE) if reach else 1.0)))


def _warn_of_constants(graph: Graph, params: Mapping[str, QParams | None], calibration: Calibration) -> None:
    """Values that varied while calibrating, but of which one integer is left."""
    lost = []
    for name, held in params.items():
        seen = calibration.histograms.get(name)
        if held is None or seen is None or not seen.minimum < seen.maximum:
            continue
        low, high = (int(quantize(np.float32(value), held)) for value in (seen.minimum, seen.maximum))
        if low == high:
            lost.append(
                f"{name!r} ({seen.minimum:g} to {seen.maximum:g} are all {low} in {held.qtype} of step {float(held.scale):.4g})"
            )
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        warn(
            f"{graph.name}: activations that are constant at this precision: {', '.join(lost[:_NAMED])}{more}; "
            "give the layers that read them more bits, or another scale",
            CalibrationWarning,
        )


_NAMED = 3
