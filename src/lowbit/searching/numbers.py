"""The integers of every (layer, width), found once; a plan puts them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lowbit.errors import ConfigError
from lowbit.files import cache_folder
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.methods import Method, QuantizationPlan, begin, method_of
from lowbit.methods.store import store_in
from lowbit.methods.task import Step, Task
from lowbit.numerics import QParams, QType
from lowbit.quantization import Calibration, LayerNumbers, QuantizationConfig, choose
from lowbit.quantization.choice import Quantized
from lowbit.quantization.plan import Plan, make_plan
from lowbit.searching.remembered_rounding import RememberedRounding
from lowbit.searching.space import Choice, FixedPoint, Kind, Space

__all__ = ["Numbers"]

_KEPT = 64  # networks of one width whose integers are kept in the user's cache folder
_UNIT = "choice"


@dataclass(frozen=True, eq=False)
class _Weights:
    """Of one layer at one width; ``bias``: real numbers (C,), float64."""

    weights: Quantized
    bias: np.ndarray


@dataclass(eq=False)
class Numbers:
    """Finds the numbers of plans of one ``space``.

    ``method``: one of lowbit.methods or several.  Those that change the float network (equalisation) come first and work once, at
    the base precision; from the first that does not, all work once for each width of weights, on a network with that width
    in every layer and with its values as fine as the space allows.  A plan takes each layer's weights from the network of
    their width, rounds its bias to the scale of its input, and takes the scales of values from the calibration: nothing is
    fitted in a trial.  ``whole``: the methods work on every plan as a whole instead, which takes their time in each trial and
    gives better networks: layers make up for the errors of those before them.  ``state``: folder of unfinished work."""

    graph: Graph
    calibration: Calibration
    space: Space
    method: str | Method | Sequence[str | Method] = "nearest"
    whole: bool = False
    state: Path | None = None
    progress: bool | None = None
    log: list[Step] = field(default_factory=list)
    _shared: Task | None = None
    _methods: Sequence[Method] = ()
    _found: dict[int, dict[str, _Weights]] = field(default_factory=dict)
    _rounding: RememberedRounding = field(default_factory=RememberedRounding)

    @property
    def fitted(self) -> bool:
        """Whether a method other than rounding to nearest finds the weights."""
        return self.method not in ("nearest", ("nearest",), ["nearest"])

    def prepare(self) -> None:
        """Everything that plans have in common.  Raises ConfigError for methods that a search cannot use."""
        if self._shared is not None:
            return
        if self.fitted and self.space.has_formats:
            raise ConfigError("fixed-point formats are rounded to nearest; write method nearest")
        given = [self.method] if isinstance(self.method, str) or not isinstance(self.method, Sequence) else list(self.method)
        methods = [method_of(one) for one in given]
        task = self._begin(self.graph, self.calibration, self.space.base)
        while self.fitted and methods and getattr(methods[0], "changes_network", False):
            task, methods = methods[0](task), methods[1:]
            self.log.extend(task.log[len(self.log) :])
        if task.shifted is not None:
            raise ConfigError("channel_splitting shifts channels by steps of values, which plans do not share; leave it out")
        self._shared, self._methods = task, methods if self.fitted else []
        if not self.whole:
            self._fit(self.space.widths(Kind.WEIGHTS))

    def _fit(self, widths: Iterable[int]) -> None:
        """The integers of these widths of weights, each once."""
        assert self._shared is not None
        for bits in widths if self._methods else ():
            if bits not in self._found:
                self._found[bits] = self._at(self._shared, bits, self._methods)

    def _begin(self, graph: Graph, calibration: Calibration, config: QuantizationConfig) -> Task:
        return begin(graph, calibration, config, state=self.state, progress=self.progress)

    def _at(self, shared: Task, bits: int, methods: Sequence[Method]) -> dict[str, _Weights]:
        """The layers of the network whose weights all have ``bits``, its values as fine as the space allows."""
        config = self.space.uniform(bits, max(self.space.widths(Kind.ACTIVATIONS), default=self.space.base.activations.bits))
        task = self._begin(shared.graph, shared.calibration, config)
        task = self._fitted(task, methods)
        self.log.extend(replace(step, method=f"{step.method}, {bits}-bit weights") for step in task.log)
        found = {}
        for node in task.graph.nodes:
            if node.op in LAYERS and task.choice.layers[node.name].weights.params.qtype.bits == bits:
                numbers, x = task.choice.layers[node.name], task.choice.values[node.inputs[0]]
                assert x is not None  # a layer reads integers
                unit = x.scale.astype(np.float64) * numbers.weights.params.scale.astype(np.float64)
                found[node.name] = _Weights(numbers.weights, numbers.bias.astype(np.float64) * unit)
        return found

    def _fitted(self, task: Task, methods: Sequence[Method]) -> Task:
        """What the methods make of a network; it is remembered."""
        store = store_in(cache_folder() / "search" / "numbers", task, tuple(methods), _KEPT)
        if (known := store.get(_UNIT)) is not None:
            return task.with_choice(known)
        for method in methods:
            before = task.graph
            task = method(task)
            if task.graph is not before:
                raise ConfigError(
                    f"{type(method).__name__} changes the float network, which plans share; name equalization first, then "
                    "for example adaround: method equalization,adaround"
                )
        store.keep(_UNIT, task.choice)
        return task

    def plan(self, params: Mapping[str, int | str]) -> QuantizationPlan:
        """The numbers of one plan.  Raises what choosing numbers raises."""
        self.prepare()
        return self.refit(params) if self.whole and self._methods else self.apart(params)

    def apart(self, params: Mapping[str, int | str]) -> QuantizationPlan:
        """The same put together from the networks of one width of weights each."""
        self.prepare()
        self._fit(self.space.widths(Kind.WEIGHTS))
        return self._plan(self.space.config(params), self.space.checked(params))

    def uniform(self, weights: int, activations: int) -> QuantizationPlan:
        """The numbers of the network of ``Space.uniform``.  A width that the space lacks is fitted when it is asked
        for."""
        self.prepare()
        config = self.space.uniform(weights, activations)
        if self.whole and self._methods:
            return self._refit(config)
        self._fit([weights])
        return self._plan(config, {})

    def refit(self, params: Mapping[str, int | str]) -> QuantizationPlan:
        """The plan with integers that the methods find for it as a whole, as they do for a network of one width: what layers make
        up for of the errors of others is then that of this plan.  Takes what the methods take for one width."""
        self.prepare()
        return self._refit(self.space.config(params))

    def _refit(self, config: QuantizationConfig) -> QuantizationPlan:
        shared = self._shared
        assert shared is not None
        return QuantizationPlan.of(self.graph, self._fitted(self._begin(shared.graph, shared.calibration, config), self._methods))

    def _plan(self, config: QuantizationConfig, chosen: Mapping[str, Choice]) -> QuantizationPlan:
        self.prepare()
        shared = self._shared
        assert shared is not None
        asked, values, weights = _formats(shared.graph, self.space, chosen, config)
        choice = choose(shared.graph, shared.calibration, config, asked, values, weights, self._rounding)
        layers: dict[str, LayerNumbers] = {}
        biases = _biases(self.space, chosen)
        for node in shared.graph.nodes:
            if node.op not in LAYERS:
                continue
            had, x = choice.layers[node.name], choice.values[node.inputs[0]]
            assert x is not None  # a layer reads integers
            found = self._found.get(had.weights.params.qtype.bits, {}).get(node.name)
            if found is not None:
                layers[node.name] = LayerNumbers.round_bias(found.weights, found.bias, x)
            elif node.name in biases and len(node.inputs) > 2 + bool(node.attrs.get("residual")):
                bias = _rounded(shared.graph.constants[node.inputs[2]], biases[node.name])
                layers[node.name] = LayerNumbers.round_bias(had.weights, bias, x)
        task = replace(shared, config=config, choice=choice.with_layers(layers), log=tuple(self.log))
        return QuantizationPlan.of(self.graph, task)


def _formats(
    graph: Graph, space: Space, chosen: Mapping[str, Choice], config: QuantizationConfig
) -> tuple[Plan, dict[str, QParams], dict[str, QParams]]:
    """Who computes in how many bits, and the scales that fixed-point formats dictate: of values, of weights."""
    plan = make_plan(graph, config)
    values: dict[str, QParams] = {}
    weights: dict[str, QParams] = {}
    for dimension in space.dimensions:
        choice = chosen.get(dimension.name)
        if not isinstance(choice, FixedPoint):
            continue
        qtype, scale = QType(choice.width, True), 2.0**-choice.frac
        for layer in dimension.layers:
            node = graph.node(layer)
            if dimension.kind is Kind.WEIGHTS:
                channels = len(graph.constants[node.inputs[1]])
                weights[layer] = QParams(qtype, np.full(channels, scale, np.float32), axis=0)
            elif dimension.kind is Kind.ACTIVATIONS:
                values[plan.grid[node.inputs[0]]] = QParams(qtype, np.asarray(scale, np.float32))
    return plan, values, weights


def _biases(space: Space, chosen: Mapping[str, Choice]) -> dict[str, FixedPoint]:
    """Layer -> the format of its bias."""
    return {
        layer: choice
        for dimension in space.dimensions
        if dimension.kind is Kind.BIAS and isinstance(choice := chosen.get(dimension.name), FixedPoint)
        for layer in dimension.layers
    }


def _rounded(values: np.ndarray, form: FixedPoint) -> np.ndarray:
    """2^-frac clip(rint(values 2^frac), -2^(width - 1), 2^(width - 1) - 1)."""
    reach = 2.0 ** (form.width - 1)
    return np.clip(np.rint(values.astype(np.float64) * 2.0**form.frac), -reach, reach - 1) * 2.0**-form.frac
