"""What is chosen when a network becomes integers: the numbers, apart from the graph they are applied to."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from lowbit.errors import ChoiceError, NumericsError, UnsupportedOperation
from lowbit.graph import Graph, Node
from lowbit.graph.bounds import is_wide
from lowbit.graph.ops import BINARY, LAYERS
from lowbit.numerics import QParams, QType, quantize
from lowbit.quantization.belonging import differences

__all__ = [
    "Choice",
    "LayerNumbers",
    "Quantized",
    "bias_type",
    "check_choice",
    "constant_operands",
    "operand_params",
    "output_params",
    "stays_float",
]

_OPERANDS = (*BINARY, "concat", "matmul")  # operations that read constants where others read values


@dataclass(frozen=True, eq=False)
class Quantized:
    """Integers and what they mean: x ~ scale * (integers - zero_point).  Kept in the type's dtype.

    Raises NumericsError for integers that the type does not hold."""

    integers: np.ndarray
    params: QParams

    def __post_init__(self) -> None:
        given, qtype = np.asarray(self.integers), self.params.qtype
        if given.dtype.kind not in "iu":
            raise NumericsError(f"integers of {qtype} are held in {qtype.dtype}, got {given.dtype}")
        outside = (given < qtype.qmin) | (given > qtype.qmax) | (qtype.bipolar & (given == 0))
        if outside.any():
            allowed = "-1 and 1" if qtype.bipolar else f"{qtype.qmin} to {qtype.qmax}"
            raise NumericsError(f"{qtype} holds {allowed}, got {given[outside][0]}")
        object.__setattr__(self, "integers", given.astype(qtype.dtype, copy=False))

    @classmethod
    def round(cls, values: np.ndarray, params: QParams) -> Quantized:
        """The integers nearest to real ``values``."""
        return cls(quantize(values, params), params)


@dataclass(frozen=True, eq=False)
class LayerNumbers:
    """conv2d or linear: ``weights`` of the float weights' shape, symmetric, a scale per output channel (axis 0);
    ``bias`` (C,), whole numbers at scale s_x * s_w[c]; zeros where the layer has none."""

    weights: Quantized
    bias: np.ndarray

    @classmethod
    def round_bias(cls, weights: Quantized, bias: np.ndarray, x: QParams) -> LayerNumbers:
        """Given integer weights and a real ``bias``, of a layer that reads values of ``x``: rint(bias / (s_x * s_w[c])).

        Raises NumericsError for a bias that int32 (int64 next to 16-bit operands) does not hold at this scale."""
        with np.errstate(over="ignore"):
            steps = np.rint(np.asarray(bias, np.float64) / (x.scale.astype(np.float64) * weights.params.scale.astype(np.float64)))
        dtype = bias_type(x, weights.params)
        if not (np.abs(steps) <= np.iinfo(dtype).max).all():
            raise NumericsError(f"a bias of {np.abs(bias).max():.4g} does not fit {dtype} at scale s_x * s_w; use larger scales")
        return cls(weights, steps.astype(dtype))


@dataclass(frozen=True, eq=False)
class Choice:
    """Numbers of an integer network: from a calibration (:func:`choose`), a file that holds them, or a training run.

    ``values``: graph input or node -> its QParams, None where it stays float32 (what last layers, last softmaxes and last unary
    functions give).  What only selects values has those of its input.
    ``layers``: conv2d or linear -> its integers; none for those between float32 values.
    ``operands``: (node, position among its inputs) -> integers of a constant that add, sub, mul or concat reads.
    All else (clamp bounds, multipliers, tables) follows from these."""

    values: Mapping[str, QParams | None]
    layers: Mapping[str, LayerNumbers]
    operands: Mapping[tuple[str, int], Quantized] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("values", "layers", "operands"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def with_layers(self, layers: Mapping[str, LayerNumbers]) -> Choice:
        """The same with other numbers for these layers."""
        return replace(self, layers={**self.layers, **layers})

    def with_values(self, values: Mapping[str, QParams | None]) -> Choice:
        """The same with other QParams for these values.  Biases of layers that read them are at another scale then."""
        return replace(self, values={**self.values, **values})


def bias_type(x: QParams, weights: QParams) -> np.dtype:
    """Of a layer's bias: int64 next to 16-bit operands, else int32."""
    return np.dtype(np.int64 if is_wide(x, weights) else np.int32)


def constant_operands(graph: Graph, node: Node) -> list[int]:
    """Positions of the constants among the operands of ``node``; parameters of layers are none."""
    return [i for i, name in enumerate(node.inputs) if name in graph.constants] if node.op in _OPERANDS else []


def operand_params(values: Mapping[str, QParams | None], node: Node, index: int) -> QParams:
    """QParams of an activation that an integer operation reads."""
    params = values.get(node.inputs[index])
    if params is None:
        raise UnsupportedOperation(
            f"{node.name} ({node.op}): cannot compute on integers, {node.inputs[index]!r} is not quantized"
        )
    return params


def output_params(values: Mapping[str, QParams | None], node: Node) -> QParams:
    """QParams of what an operation gives that has no float32 result."""
    params = values[node.name]
    if params is None:
        raise UnsupportedOperation(f"{node.name} ({node.op}): has no float32 form inside an integer network")
    return params


def check_choice(graph: Graph, choice: Choice) -> None:
    """Raises ChoiceError for numbers that are missing, belong to nothing in this float graph, or have another shape."""
    layers = {node.name: node for node in graph.nodes if node.op in LAYERS}
    operands = {(node.name, i): node.inputs[i] for node in graph.nodes for i in constant_operands(graph, node)}
    _same_names(graph, "values", choice.values, [*graph.inputs, *(node.name for node in graph.nodes)])
    layers = {name: node for name, node in layers.items() if not stays_float(graph, choice, node)}
    _same_names(graph, "layers", choice.layers, layers)
    floats = {node.name for node in graph.nodes if stays_float(graph, choice, node)}
    operands = {place: name for place, name in operands.items() if place[0] not in floats}
    _same_names(graph, "operands", choice.operands, operands)
    for name, params in choice.values.items():
        if params is not None and (params.axis is not None or params.qtype == QType(16, False)):
            raise ChoiceError(f"{name}: {params}; values have one scale and are u1..u8, i2..i8, i16 or b1")
    for name, node in layers.items():
        where, weights, bias = f"{name} ({node.op})", choice.layers[name].weights, np.asarray(choice.layers[name].bias)
        _same_shape(f"{where}: weights", weights.integers, graph.constants[node.inputs[1]].shape)
        _same_shape(f"{where}: bias", bias, weights.integers.shape[:1])
        if bias.dtype.kind not in "iu":
            raise ChoiceError(f"{where}: the bias is {bias.dtype}; give integers at scale s_x * s_w")
    for (name, i), constant in operands.items():
        _same_shape(f"{name}: operand {i} ({constant})", choice.operands[name, i].integers, graph.constants[constant].shape)


def stays_float(graph: Graph, choice: Choice, node: Node) -> bool:
    """Whether a node computes in float32: nothing that it reads or gives is on a grid, and it has no integers."""
    if node.name in choice.layers:
        return False
    read = [name for name in node.inputs if name not in graph.constants]
    return all(choice.values.get(name) is None for name in (node.name, *read))


def _same_names(graph: Graph, what: str, given: Iterable[Hashable], wanted: Iterable[Hashable]) -> None:
    if found := differences(given, wanted):
        raise ChoiceError(f"{graph.name}: the {what} of this choice are those of another graph: {found}")


def _same_shape(where: str, given: np.ndarray, shape: tuple[int, ...]) -> None:
    if given.shape != tuple(shape):
        raise ChoiceError(f"{where} of shape {given.shape}, must be {tuple(shape)}")
