"""How much of each layer's output is rounding error: signal-to-noise ratios of an integer graph beside its float graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.errors import GraphError
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import rebatch
from lowbit.numerics import QParams, dequantize

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CEILING", "LayerNoise", "Noise", "measure_noise", "sqnr_db"]

CEILING = 200.0
"""dB: no error at all, or none worth telling."""

_CHAINED = ("affine", "clamp", "expand", "interleave", "mul", "permute", "reshape", "slice", "sub", "take", "unary")
"""Operations whose rounding errors are looked at together with those of the operations behind them, up to the next layer: a
quotient is only as good as its divisor."""

_ROWS, _MACS, _VALUES = 8, 200_000_000, 1 << 22


@dataclass(frozen=True)
class LayerNoise:
    """One node.  ``sqnr_db`` = 10 log10(E[y^2] / E[(y - y_q)^2]) of its output y in the float graph and y_q in the integer
    graph, with all error that came in; ``own_db``: the same where the layers before it are exact, so that only the rounding of
    its inputs (and of the element-wise operations directly before it), its weights and its output counts.  At most CEILING.
    ``causes``: for its own error, what is rounded -> dB if nothing else were: the names of its inputs, "weights", "output".
    ``widths``: the same names -> text of the integer type.
    """

    name: str
    op: str
    sqnr_db: float
    own_db: float
    causes: Mapping[str, float]
    widths: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """dB to a tenth."""
        causes = {name: round(value, 1) for name, value in self.causes.items()}
        return {
            "name": self.name,
            "op": self.op,
            "sqnr_db": round(self.sqnr_db, 1),
            "own_db": round(self.own_db, 1),
            "causes": causes,
        }


@dataclass(frozen=True)
class Noise:
    """``rows``: examples it was measured on.  ``layers``: every node that computes or moves something, in order.
    ``outputs``: dB of each output of the network."""

    rows: int
    layers: tuple[LayerNoise, ...]
    outputs: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        outputs = {name: round(value, 1) for name, value in self.outputs.items()}
        return {"rows": self.rows, "outputs": outputs, "layers": [layer.to_json() for layer in self.layers]}


def sqnr_db(exact: Tensor, rounded: Tensor) -> float:
    """10 log10(sum y^2 / sum (y - y_q)^2), at most CEILING; -CEILING where y is 0 throughout and y_q is not."""
    import torch

    signal, error = (float(value.square().sum(dtype=torch.float64)) for value in (exact, exact - rounded))
    if not (math.isfinite(signal) and math.isfinite(error)):
        return -CEILING
    if error == 0:
        return CEILING
    return max(-CEILING, min(CEILING, 10 * math.log10(signal / error))) if signal else -CEILING


def measure_noise(graph: Graph, integer: Graph, samples: Sequence[np.ndarray]) -> Noise:
    """``graph``: canonical float; ``integer``: what became of it; ``samples``: rows of each input, one array an input.

    Runs the float graph, the integer graph in lowbit.fake and each node on its own, on up to 8 rows: as many as take
    2 * 10^8 multiply-accumulates and 2^22 values, or on one.  A graph whose rows are not alike is run on its own number of rows.
    Raises InputError for samples that are not its inputs.
    """
    import torch

    from lowbit.fake import execute
    from lowbit.frontend import evaluate

    rows, graph, integer = _rows(graph, integer, samples)
    inputs = [torch.from_numpy(np.asarray(value[np.arange(rows) % len(value)], np.float32)) for value in samples]
    exact = dict(zip(graph.inputs, inputs, strict=True))
    evaluate(graph, inputs, exact.__setitem__)
    with torch.inference_mode():
        reached: dict[str, float] = {}

        def compare(name: str, value: Tensor) -> None:
            if name in exact:
                reached[name] = sqnr_db(exact[name], _real(value, integer.types[name].quant))

        outputs = execute(integer, inputs, compare)
        final = {name: sqnr_db(exact[name], value) for name, value in zip(graph.outputs, outputs, strict=True)}
        own = _Own(graph, integer, exact)
        layers = tuple(own(node, reached[node.name]) for node in graph.nodes if node.name in reached)
    return Noise(rows, layers, final)


def _rows(graph: Graph, integer: Graph, samples: Sequence[np.ndarray]) -> tuple[int, Graph, Graph]:
    """How many rows, and the graphs for that many."""
    batch = (*graph.types[graph.inputs[0]].shape, 1)[0]
    macs = sum(_macs(graph, node) for node in graph.nodes if node.op in LAYERS) / batch
    values = sum(math.prod(graph.types[node.name].shape) for node in graph.nodes) / batch
    rows = max(1, min(_ROWS, len(samples[0]), int(_MACS / max(macs, 1)), int(_VALUES / max(values, 1))))
    if rows == batch:
        return rows, graph, integer
    try:
        return rows, rebatch(graph, rows), rebatch(integer, rows)
    except GraphError:
        return batch, graph, integer


def _macs(graph: Graph, node: Node) -> int:
    return math.prod(graph.types[node.name].shape) * math.prod(graph.types[node.inputs[1]].shape[1:])


def _real(value: Tensor, params: QParams | None) -> Tensor:
    """Integers held in float32 -> the numbers they stand for; activations have one scale."""
    return value if params is None else (value - params.zero_point) * float(params.scale)


def _weights(integers: np.ndarray, params: QParams) -> Tensor:
    """The numbers that integer weights stand for."""
    import torch

    if params.group_scale is not None:
        return torch.from_numpy(dequantize(integers, params))
    scale = torch.from_numpy(np.array(params.scale)).reshape(-1, *(1,) * (integers.ndim - 1))
    return torch.from_numpy(np.ascontiguousarray(integers)).float() * scale


class _Own:
    """Each node on exact inputs, rounded to the grids of the integer graph."""

    def __init__(self, graph: Graph, integer: Graph, exact: Mapping[str, Tensor]) -> None:
        self.graph, self.integer, self.exact = graph, integer, exact
        self.nodes = {node.name: node for node in integer.nodes}
        self.behind = {node.inputs[0]: node.name for node in integer.nodes if node.op == "quantize"}
        self.chained: dict[str, Tensor] = {}
        self.producers = {node.name: node for node in graph.nodes}

    def __call__(self, node: Node, reached: float) -> LayerNoise:
        import torch

        parameters = self._parameters(node)
        activations = [name for name in node.inputs if name in self.exact]
        rounded = {name: self._input(name) for name in activations}
        together = self._rounded(node.name, self._run(node, {**rounded, **parameters}))
        exact = self.exact[node.name]
        own = sqnr_db(exact, together)
        causes, widths = {}, {}
        if own < _EXPLAINED:
            causes = {name: sqnr_db(exact, self._run(node, {name: rounded[name]})) for name in rounded}
            widths = {name: self._width(name) for name in rounded}
            if parameters:
                causes["weights"] = sqnr_db(exact, self._run(node, parameters))
                widths["weights"] = str(self.integer.types[self.nodes[node.name].inputs[1]].quant.qtype)  # type: ignore[union-attr]
            causes["output"] = sqnr_db(exact, self._rounded(node.name, exact))
            widths["output"] = self._width(node.name)
        if node.op in _CHAINED:
            self.chained[node.name] = together.to(torch.float32)
        return LayerNoise(node.name, node.op, reached, own, causes, widths)

    def _width(self, name: str) -> str:
        params = self.integer.types[self.behind.get(name, name)].quant
        return "f32" if params is None else str(params.qtype)

    def _input(self, name: str) -> Tensor:
        return self.chained[name] if name in self.chained else self._rounded(name, self.exact[name])

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        """On the grid of the value of this name; as it is where that stays float."""
        import torch

        params = self.integer.types[self.behind.get(name, name)].quant
        if params is None:
            return value
        scale, q = float(params.scale), params.qtype
        if q.bipolar:
            return torch.where(value >= 0, scale, -scale)
        return torch.fake_quantize_per_tensor_affine(value, scale, params.zero_point, q.qmin, q.qmax)

    def _parameters(self, node: Node) -> dict[str, Tensor]:
        """The rounded weights and bias of a layer by the float graph's names; other parameters keep 16 bits and more."""
        import torch

        if node.op not in LAYERS or node.inputs[1] not in self.graph.constants:
            return {}
        own = self.nodes[node.name]
        weights, x = self.integer.types[own.inputs[1]].quant, self.integer.types[own.inputs[0]].quant
        if weights is None or x is None:
            return {}
        found = {node.inputs[1]: _weights(self.integer.constants[own.inputs[1]], weights)}
        if len(node.inputs) > 2 and node.inputs[2] in self.graph.constants:
            scale = np.asarray(x.scale, np.float64) * np.asarray(weights.scale, np.float64)
            bias = self.integer.constants[own.inputs[2]].astype(np.float64) * scale
            found[node.inputs[2]] = torch.from_numpy(bias.astype(np.float32))
        return found

    def _run(self, node: Node, replaced: Mapping[str, Tensor]) -> Tensor:
        """The float node with some of its inputs and parameters replaced."""
        from lowbit.frontend import evaluate

        names = tuple(dict.fromkeys(name for name in node.inputs if name in self.exact))
        constants = {
            name: replaced[name].numpy() if name in replaced else self.graph.constants[name]
            for name in node.inputs
            if name not in self.exact
        }
        types = {name: self.graph.types[name] for name in (*node.inputs, node.name)}
        (value,) = evaluate(
            Graph(self.graph.name, names, (node.name,), (node,), types, constants),
            [replaced.get(name, self.exact[name]) for name in names],
        )
        return value


_EXPLAINED = 30.0  # dB: below this the causes are told apart
