"""Float graph + what was observed + configuration -> integer graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from lowbit.errors import CalibrationError, CalibrationWarning, UnsupportedOperation
from lowbit.graph import Graph, Node, verify
from lowbit.graph.bounds import check_bounds
from lowbit.numerics import QParams, quantize
from lowbit.quantization import layer_rules, other_rules
from lowbit.quantization.activations import activation_params
from lowbit.quantization.calibration import Calibration
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.draft import Draft
from lowbit.quantization.plan import Plan, make_plan

__all__ = ["quantize_graph"]

_RULES: dict[str, Callable[[Draft, Node], None]] = {
    "add": other_rules.binary,
    "affine": other_rules.affine,
    "avg_pool2d": other_rules.clamped,
    "clamp": other_rules.clamped,
    "concat": other_rules.concat,
    "conv2d": layer_rules.integer_layer,
    "linear": layer_rules.integer_layer,
    "max_pool2d": other_rules.select,
    "mul": other_rules.binary,
    "pad": other_rules.select,
    "permute": other_rules.select,
    "reshape": other_rules.select,
    "expand": other_rules.select,
    "slice": other_rules.select,
    "softmax": other_rules.softmax,
    "sub": other_rules.binary,
    "unary": other_rules.unary,
}


def quantize_graph(graph: Graph, calibration: Calibration, config: QuantizationConfig) -> Graph:
    """The integer graph of a canonical float graph: same operations, plus a ``quantize`` behind each
    graph input and a ``dequantize`` before each output that is an integer.

    Every value gets scale, zero point and integer type (graph types' ``quant``); weights, biases,
    multipliers and tables become constants.  Raises CalibrationError for a value that was not
    observed, UnsupportedOperation for one that has no integer form, ConfigError and
    UnsupportedPrecision for an impossible configuration or sums that no accumulator holds, NumericsError for
    non-finite weights and for scales whose products leave float32.
    """
    plan = make_plan(graph, config)
    chosen = _value_params(graph, plan, calibration, config)
    _warn_of_constants(graph, chosen, calibration)
    draft = Draft(graph, config, plan, chosen, calibration.input_means)
    read = {name for node in graph.nodes for name in node.inputs}
    for name in graph.inputs:
        draft.types[name] = graph.types[name]
        params = draft.params[name]
        if params is not None and name in read:
            draft.renamed[name] = draft.fresh(f"{name}.quantize")
            draft.emit(Node(draft.renamed[name], "quantize", (name,)), params)
    for node in graph.nodes:
        if node.op not in _RULES:
            raise UnsupportedOperation(f"{node.name} ({node.op}): no integer form; canonicalize the graph before quantizing")
        _RULES[node.op](draft, node)
    outputs: dict[str, str] = {}
    for name in dict.fromkeys(graph.outputs):
        outputs[name] = name
        if name not in graph.inputs and draft.params[name] is not None:
            outputs[name] = draft.fresh(f"{name}.dequantize")
            draft.emit(Node(outputs[name], "dequantize", (name,), source=graph.node(name).source), None)
    names = tuple(outputs[name] for name in graph.outputs)
    return check_bounds(verify(Graph(graph.name, graph.inputs, names, tuple(draft.nodes), draft.types, draft.constants)))


def _value_params(graph: Graph, plan: Plan, calibration: Calibration, config: QuantizationConfig) -> dict[str, QParams | None]:
    """Value -> QParams; all values of a grid share theirs."""
    grids: dict[str, QParams | None] = {}
    for root, requested in plan.requested.items():
        if requested is None:
            grids[root] = None
            continue
        if root not in calibration.histograms:
            raise CalibrationError(f"{root!r} was not observed; calibrate the graph that is quantized ({graph.name})")
        grids[root] = activation_params(calibration.histograms[root], requested, config)
    return {name: grids[root] for name, root in plan.grid.items()}


def _warn_of_constants(graph: Graph, params: dict[str, QParams | None], calibration: Calibration) -> None:
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
        warnings.warn(
            f"{graph.name}: activations that are constant at this precision: {', '.join(lost[:_NAMED])}{more}; "
            "give the layers that read them more bits, or another scale",
            CalibrationWarning,
            stacklevel=3,
        )


_NAMED = 3
