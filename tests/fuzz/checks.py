"""What must hold of a graph: every pair of oracles agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lowbit.errors import CalibrationError, GraphError, LowbitError
from lowbit.fake import FakeQuantized, execute
from lowbit.frontend import evaluate
from lowbit.graph import Graph, interpret, verify
from lowbit.graph.ops import LAYERS, POSITIONS
from lowbit.graph.rebatch import rebatch
from lowbit.graph.serialize import from_dict, to_dict
from lowbit.passes import canonicalize
from lowbit.quantization import QuantizationConfig, calibrate, quantize_graph
from lowbit.quantization.activations import SMALLEST_SCALE
from lowbit.quantization.calibration import Calibration
from lowbit.searching.numbers import Numbers
from lowbit.searching.space import Kind, SearchSpace
from tests.fuzz.configs import WIDE, draw_config, width_class
from tests.fuzz.coverage import Coverage
from tests.fuzz.draws import Draws, Rejected
from tests.fuzz.graphs import POLES
from tests.fuzz.noise import rounding, spread
from tests.graph.nodewise import check_nodes

__all__ = [
    "Checked",
    "Refused",
    "allowances",
    "check_fake",
    "check_float",
    "check_follows",
    "check_plan",
    "check_precisions",
    "check_torch",
    "close",
    "observed",
    "quantized",
]

_JUMPS = ("sign",)  # functions with steps: a difference of any size may come of an error of any size
_MARGIN = 16  # times what random errors of the same size did in three trials
_REAL = 1e30  # beyond: float32 sums of products overflow


class Refused(Exception):
    """lowbit says by name that it does not do this."""


class Checked:
    """Tallies of one case: what was reached, what was refused by name, whether anything was compared."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.coverage = Coverage()
        self.refused: Counter[str] = Counter()
        self.compared = True

    def refuse(self, error: LowbitError) -> None:
        self.refused[f"{type(error).__name__}: {_anonymous(str(error))}"] += 1

    def reach(self, graph: Graph, width: str) -> None:
        for node in graph.nodes:
            name = f"{node.op} {node.attrs['fn']}" if node.op == "unary" else node.op
            rank = len(graph.types[node.inputs[0]].shape)
            axis = f"axis {node.attrs['axis']}" if "axis" in node.attrs else "none"
            self.coverage.reach(self.kind, name, rank, axis, "", width)


def _anonymous(text: str) -> str:
    """A message without names and numbers, to count its kind."""
    words = ("#" if any(c.isdigit() for c in word) else word for word in text.split())
    return " ".join(words)[:160]


def _has_poles(graph: Graph) -> bool:
    """A coarse grid may round an operand onto a pole of its function."""
    return any(node.op == "unary" and node.attrs["fn"] in POLES for node in graph.nodes)


def close(got: Sequence[Tensor], wanted: Sequence[Tensor], allowed: Sequence[float], what: str) -> None:
    """Asserts |got - wanted| <= allowed, output by output, and equal shapes."""
    assert len(got) == len(wanted), f"{what}: {len(got)} outputs for {len(wanted)}"
    for index, (a, b, bound) in enumerate(zip(got, wanted, allowed, strict=True)):
        assert a.shape == b.shape, f"{what}, output {index}: shape {tuple(a.shape)} for {tuple(b.shape)}"
        error = float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
        assert error <= bound, f"{what}, output {index}: off by {error:.3g}, allowed {bound:.3g}"


def _largest(value: np.ndarray) -> float:
    return float(np.abs(value).max(initial=0.0))


def check_float(graph: Graph, inputs: Sequence[Tensor]) -> Graph:
    """Passes keep what the graph computes.  Returns the canonical graph.

    Raises Rejected for a network whose own values are not finite.
    """
    verify(graph)
    values: dict[str, Tensor] = {}
    outputs = evaluate(graph, inputs, values.__setitem__, torch.float64)
    if not all(bool(value.isfinite().all()) and float(value.abs().max()) < _REAL for value in values.values() if value.numel()):
        raise Rejected("values that are not finite")
    canonical = canonicalize(graph, lambda step, after: verify(after))
    allowed = allowances(graph, inputs, outputs)
    close(evaluate(canonical, inputs, dtype=torch.float64), outputs, allowed, "canonical graph and graph")
    return canonical


def allowances(graph: Graph, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[float]:
    """What rounding constants to float32 may do to each output."""
    moved = spread(graph, inputs, outputs, rounding, _trials(graph))
    return [_MARGIN * m + 1e-9 * float(o.abs().max()) for m, o in zip(moved, outputs, strict=True)]


def _trials(graph: Graph) -> int:
    """A function with steps moves far or not at all: more trials see it."""
    jumps = any(node.op in POSITIONS or (node.op == "unary" and node.attrs["fn"] in _JUMPS) for node in graph.nodes)
    return 16 if jumps else 3


def observed(graph: Graph, inputs: Sequence[Tensor]) -> Calibration:
    """Ranges on the inputs themselves.  Raises Rejected where a value overflows float32."""
    try:
        return calibrate(graph, [tuple(value.numpy() for value in inputs)])
    except CalibrationError as error:
        raise Rejected(str(error)) from None


def quantized(graph: Graph, calibration: Calibration, config: QuantizationConfig, checked: Checked) -> Graph | None:
    """The integer graph; None where lowbit refuses by name.  GraphError is never a refusal."""
    try:
        return quantize_graph(graph, calibration, config)
    except GraphError:
        raise
    except LowbitError as error:
        checked.refuse(error)
        return None


def check_precisions(graph: Graph, inputs: Sequence[Tensor], draws: Draws, checked: Checked, configs: int = 2) -> None:
    """16 bits follow the float graph; at random precisions every node's integers are the nearest to its float operation."""
    arrays = [value.numpy() for value in inputs]
    calibration = observed(graph, inputs)
    wide = quantized(graph, calibration, WIDE, checked)
    if wide is not None:
        check_follows(graph, wide, inputs, check_nodes(wide, arrays))
        checked.reach(wide, "16")
    for _ in range(configs):
        config = draw_config(draws, graph)
        integer = quantized(graph, calibration, config, checked)
        if integer is None:
            continue
        with np.errstate(all="ignore"):
            outputs = check_nodes(integer, arrays)
        if not _has_poles(integer):
            assert all(np.isfinite(output).all() for output in outputs), f"{config}: outputs that are not finite"
        check_torch(integer, arrays)
        check_fake(FakeQuantized(graph, calibration, config), outputs, inputs)
        again = from_dict(*to_dict(integer))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(interpret(again, arrays), outputs, strict=True)), (
            "after text and back"
        )
        checked.reach(integer, width_class(config))
    check_plan(graph, calibration, arrays, draws, checked)


def check_plan(graph: Graph, calibration: Calibration, arrays: Sequence[np.ndarray], draws: Draws, checked: Checked) -> None:
    """A random plan of a search: its layers have the widths that it says, and torch gives the oracle's integers."""
    layers = [node.name for node in graph.nodes if node.op in LAYERS]
    fixed = {draws.choose(layers): draws.choose(("i8/u8", "i3/u5", "i16/i16"))} if len(layers) > 1 and draws.chance(50) else {}
    try:
        space = SearchSpace("1..8,16", "1..8,16", fixed=fixed, base=draw_config(draws, graph)).of(graph)
    except LowbitError as error:
        checked.refuse(error)
        return
    plan = {dimension.name: draws.choose(dimension.texts) for dimension in space.dimensions}
    try:
        integer = Numbers(graph, calibration, space, state=None, progress=False).plan(plan).integer_graph()
    except GraphError:
        raise
    except LowbitError as error:
        checked.refuse(error)
        return
    for dimension in space.dimensions:
        for layer in dimension.layers:
            held = integer.types[integer.node(layer).inputs[dimension.kind is Kind.WEIGHTS]].quant
            assert held is not None, f"{layer}: {dimension.name} of a layer that computes in float"
            assert held.qtype.bits == plan[dimension.name], f"{layer}: {held.qtype}, the plan says {dimension.name} {plan}"
    check_torch(integer, arrays)


def check_torch(integer: Graph, arrays: Sequence[np.ndarray]) -> None:
    """Torch gives the oracle's integers at every node; and with twice the rows, where rows are alike, each row's own."""
    wanted: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        interpret(integer, arrays, wanted.__setitem__)

    def same(name: str, value: Tensor) -> None:
        assert np.array_equal(np.float64(wanted[name]), value.double().numpy(), equal_nan=True), f"{name} in torch"

    inputs = [torch.from_numpy(np.float32(array)) for array in arrays]
    with torch.inference_mode():
        once = execute(integer, inputs, same)
        try:
            double = rebatch(integer, 2 * len(arrays[0]) if arrays[0].ndim else 2)
        except GraphError:
            return
        twice = execute(double, [torch.cat([value, value.flip(0)]) for value in inputs])
    for one, both in zip(once, twice, strict=True):
        assert torch.equal(torch.cat([one, one.flip(0)]).nan_to_num(), both.nan_to_num()), "twice the rows"


def check_fake(network: FakeQuantized, outputs: Sequence[np.ndarray], inputs: Sequence[Tensor]) -> None:
    """A network of fake quantizers gives the oracle's outputs, evaluating and training; disabled, it computes."""
    for mode in (network.eval, network.train):
        mode()
        got = network(*inputs)
        for value, wanted in zip(got if isinstance(got, tuple) else (got,), outputs, strict=True):
            assert np.array_equal(value.detach().double().numpy(), np.float64(wanted), equal_nan=True), mode.__name__
    network.eval().disable()
    network(*inputs)


def _asks_for_equality(graph: Graph) -> bool:
    """|sign(x - y)|: rounded values meet where real ones are only near, which no change of real ones shows."""
    functions = {node.name: node.attrs["fn"] for node in graph.nodes if node.op == "unary"}
    return any(functions.get(node.inputs[0]) == "sign" and functions.get(node.name) == "abs" for node in graph.nodes)


def check_follows(graph: Graph, wide: Graph, inputs: Sequence[Tensor], got: Sequence[np.ndarray]) -> None:
    """The integer network of 16 bits is as far from the float one as rounding of that size explains."""
    if _asks_for_equality(graph):
        return
    units = _bias_units(wide)

    def half_step(name: str, value: np.ndarray) -> float:
        tensor = wide.types.get(f"{name}.quantize" if name in graph.inputs else name)
        if name in graph.constants:
            return max(units.get(name, 0.0), _largest(value) * 2.0**-15, SMALLEST_SCALE)
        if tensor is None or tensor.quant is None:
            return rounding(name, value)
        return 0.51 * float(tensor.quant.scale)

    wanted = evaluate(graph, inputs, dtype=torch.float64)
    moved = spread(graph, inputs, wanted, half_step, _trials(graph))
    if _has_poles(wide) and not all(np.isfinite(g).all() for g in got):
        return  # half a step of a wide range led onto the pole
    ends = [_end(wide, name) for name in wide.outputs]
    allowed = [_MARGIN * m + 1e-5 * float(o.abs().max()) + end for m, o, end in zip(moved, wanted, ends, strict=True)]
    close([torch.from_numpy(np.asarray(g)) for g in got], wanted, allowed, "16-bit network and float network")


def _bias_units(wide: Graph) -> dict[str, float]:
    """Bias constant -> the step it is rounded to, s_x * s_w."""
    units: dict[str, float] = {}
    for node in wide.nodes:
        if node.op in LAYERS:
            x, w = (wide.types[name].quant for name in node.inputs[:2])
            units[node.inputs[2]] = float(x.scale) * float(w.scale.max())  # type: ignore[union-attr]
    return units


def _end(wide: Graph, name: str) -> float:
    """Half a step of what is handed out."""
    node = next((n for n in wide.nodes if n.name == name), None)
    source = wide.types[node.inputs[0]].quant if node is not None and node.op == "dequantize" else None
    return 0.0 if source is None else float(source.scale)
