"""A network of fake quantizers that computes what its compiled form computes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lowbit.errors import ConfigError, InputError
from lowbit.fake.descriptor import QuantDescriptor
from lowbit.fake.execute import held, run
from lowbit.fake.grid import Grid, Sum, grid_of
from lowbit.fake.numbers import dictated, learned_choice, learned_graph, masters
from lowbit.fake.operations import Site
from lowbit.fake.partial import partial
from lowbit.fake.quantizer import TensorQuantizer
from lowbit.fake.steps import Layer, Step, place
from lowbit.fake.straight_through import round_
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.graph.rebatch import rebatch
from lowbit.numerics import QParams
from lowbit.quantization import Calibration, QuantizationConfig, calibrate
from lowbit.quantization.apply import apply
from lowbit.quantization.choice import Choice, operand_params
from lowbit.quantization.choose import choose
from lowbit.quantization.plan import make_plan

__all__ = ["FakeQuantized"]


class FakeQuantized(nn.Module):
    """A float graph with a :class:`TensorQuantizer` for the weights of every layer and for every value, as modules.

    Each operation is a submodule under its name in the network (``fake.layer1[0].conv1``, a Layer with ``weight`` and
    ``bias``), and quantizers hook on to it: ``weight_quantizer``, ``input_quantizer``, ``output_quantizer``;
    :attr:`quantizers` names them all.  The steps execute the integer graph's own semantics (fake.operations).

    In evaluation mode, called on any number of rows, the outputs equal those of ``compile(fake)``, integer for integer,
    while all quantizers are enabled.  In training mode the same integers carry gradients to weights, biases and scales.
    """

    def __init__(
        self,
        graph: Graph,
        calibration: Calibration,
        config: QuantizationConfig,
        choice: Choice | None = None,
        selected: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__()
        self._float, self._calibration, self._config = graph, calibration, config
        self._plan = make_plan(graph, config)
        self._choice = choice or choose(graph, calibration, config)
        self._cache: dict[Hashable, Graph] = {}
        self._steps: dict[str, Step] = {}
        self._layers: dict[str, Layer] = {}
        self._values: dict[str, TensorQuantizer] = {}
        self._build()
        if selected is not None:
            self._select(selected)

    def __deepcopy__(self, memo: dict[int, Any]) -> FakeQuantized:
        """Parameters and quantizers are copied; graphs and numbers, which are frozen, are shared."""
        for frozen in (self._float, self._calibration, self._config, self._plan, self._choice):
            memo[id(frozen)] = frozen
        learned, self._cache = self._has_learned(), {}
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        if not learned:
            copied._made = copied._versions()
        return copied

    # ---- structure

    def _build(self) -> None:
        """Steps first, under their names; then quantizers, which hook on to them."""
        for name in self._float.inputs:
            self._place(name, Step())
        for node in self._float.nodes:
            if node.op not in LAYERS:
                self._place(node.name, Step())
                continue
            numbers = self._choice.layers[node.name]
            params = numbers.weights.params
            quantizer = TensorQuantizer(f"{node.name}.weight", params, QuantDescriptor(params.qtype.bits, False, 0), True)
            x = operand_params(self._choice.values, node, 0)
            layer = self._layers[node.name] = Layer(*masters(self._float.constants[node.inputs[1]], numbers, x), quantizer)
            self._place(node.name, layer)
            layer.register_forward_pre_hook(quantizer.before)
        for root in dict.fromkeys(self._plan.grid.values()):
            shared = self._choice.values[root]
            if shared is None:
                continue
            descriptor = QuantDescriptor(shared.qtype.bits, not shared.qtype.signed, top=shared.qtype.top)
            quantizer = self._values[root] = TensorQuantizer(root, shared, descriptor, False)
            self._steps[root].output_quantizer = quantizer
            for name in (name for name, grid in self._plan.grid.items() if grid == root):
                self._steps[name].register_forward_hook(quantizer.after)
        for node in self._float.nodes:
            root = self._plan.grid.get(node.inputs[0], "")
            if node.op in LAYERS and root in self._values:
                self._layers[node.name].input_quantizer = self._values[root]
        self._made = self._versions()

    def _place(self, name: str, step: Step) -> None:
        place(self, name, step)
        self._steps[name] = step

    def _select(self, selected: Callable[[str], bool]) -> None:
        """Disables what belongs to other layers: their weights, and values that none of the selected reads."""
        chosen = {name for name in self._layers if selected(name)}
        if not chosen:
            raise ConfigError(f"{self._float.name}: nothing is selected; layers: {', '.join(self._layers) or 'none'}")
        read = {self._plan.grid.get(self._float.node(name).inputs[0], "") for name in chosen}
        for name, layer in self._layers.items():
            layer.weight_quantizer.enabled = name in chosen
        for root, quantizer in self._values.items():
            quantizer.enabled = root in read or chosen == set(self._layers)

    # ---- names

    @property
    def graph(self) -> Graph:
        """The float graph, with the weights of today."""
        return learned_graph(self._float, self._layers) if self._has_learned() else self._float

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        return self._float.inputs

    @property
    def quantizers(self) -> Mapping[str, TensorQuantizer]:
        """Name -> quantizer: ``<layer>.weight``, and the name of each value whose grid it is (an input's, a step's)."""
        return {**self._values, **{f"{name}.weight": layer.weight_quantizer for name, layer in self._layers.items()}}

    def quantizers_of(self, layer: str) -> list[TensorQuantizer]:
        """Those of a layer: of its weights and, where it reads integers, of its input."""
        root = self._plan.grid.get(self._float.node(layer).inputs[0], "")
        return [self._layers[layer].weight_quantizer, *([self._values[root]] if root in self._values else [])]

    def quantizer(self, name: str) -> TensorQuantizer:
        """A quantizer by its name, or ``<layer>.input``.  Raises ConfigError."""
        layer, _, kind = name.rpartition(".")
        if kind == "input" and layer in self._layers:
            name = self._float.node(layer).inputs[0]
        found = self._values.get(self._plan.grid.get(name, name)) or self.quantizers.get(name)
        if found is None:
            raise ConfigError(f"no quantizer {name!r}; known: {', '.join(self.quantizers)}, and <layer>.input")
        return found

    def enable(self, match: Callable[[TensorQuantizer], bool] = lambda _: True) -> None:
        """All quantizers of which ``match`` is true."""
        self._switch(match, True)

    def disable(self, match: Callable[[TensorQuantizer], bool] = lambda _: True) -> None:
        """All quantizers of which ``match`` is true; without it the network computes on real numbers."""
        self._switch(match, False)

    def _switch(self, match: Callable[[TensorQuantizer], bool], on: bool) -> None:
        for quantizer in self.quantizers.values():
            if match(quantizer):
                quantizer.enabled = on

    # ---- numbers

    def calibrate(self, samples: Iterable[Any]) -> None:
        """Observes the values of the float network, with the weights of today, on ``samples`` and chooses all numbers anew.

        ``samples``: as lowbit.quantization.calibrate takes them."""
        graph = self.graph
        self._calibration = calibrate(graph, samples)
        self._choose(graph, keep=False)

    def choice(self) -> Choice:
        """The numbers in force.  Raises NumericsError for biases that no accumulator holds."""
        self._settle()
        if not self._has_learned():
            return self._choice
        values = {name: self._in_force(name) for name in self._choice.values}
        return learned_choice(self._float, self._choice, values, self._layers)

    def _in_force(self, name: str) -> QParams | None:
        quantizer = self._values.get(self._plan.grid[name])
        return self._choice.values[name] if quantizer is None else quantizer.params

    def _has_learned(self) -> bool:
        """Whether parameters are others than when numbers were last chosen."""
        return self._versions() != self._made

    def _versions(self) -> tuple[tuple[int, int], ...]:
        return tuple((id(parameter), parameter._version) for parameter in self.parameters())

    def _settle(self) -> None:
        """Chooses numbers anew where quantizers were asked for others."""
        if any(quantizer.asked for quantizer in self.quantizers.values()):
            self._choose(self.graph, keep=self._has_learned())

    def _choose(self, graph: Graph, keep: bool) -> None:
        """``keep``: what was learned stays, but for quantizers that were asked for other numbers."""
        requested, layers = dict(self._plan.requested), dict(self._plan.layers)
        values: dict[str, QParams] = {}
        weights: dict[str, QParams] = {}
        for root, quantizer in self._values.items():
            requested[root] = quantizer.descriptor.qtype(False) if quantizer.by_hand else requested[root]
            fixed = (
                quantizer.params if keep and not quantizer.asked else dictated(quantizer, quantizer.descriptor.qtype(False), None)
            )
            values.update({root: fixed} if fixed is not None else {})
        for name, layer in self._layers.items():
            quantizer = layer.weight_quantizer
            if quantizer.by_hand:
                layers[name] = replace(layers[name], weights=quantizer.descriptor.qtype(True), container=None)
            fixed = quantizer.params
            if not keep or quantizer.asked:
                fixed = dictated(quantizer, quantizer.descriptor.qtype(True), len(layer.weight))
            weights.update({name: fixed} if fixed is not None else {})
        plan = replace(self._plan, layers=layers, requested=requested)
        self._choice = choose(graph, self._calibration, self._config, plan, values, weights)
        self._float = graph
        self._hold()

    def _hold(self) -> None:
        """Gives all parameters the values that round to the numbers chosen."""
        for root, quantizer in self._values.items():
            params = self._choice.values[root]
            if params is not None:
                quantizer.hold(params)
        for name, layer in self._layers.items():
            node, numbers = self._float.node(name), self._choice.layers[name]
            layer.weight_quantizer.hold(numbers.weights.params)
            weight, bias = masters(self._float.constants[node.inputs[1]], numbers, operand_params(self._choice.values, node, 0))
            device = layer.weight.device
            layer.weight, layer.bias = nn.Parameter(weight.to(device)), nn.Parameter(bias.to(device))
        self._made = self._versions()
        self._cache.clear()

    def integer_graph(self) -> Graph:
        """The integer graph that this network is: what ``compile`` compiles.

        Raises ConfigError where quantizers are disabled: an integer network computes on integers throughout."""
        off = [quantizer.name for quantizer in self.quantizers.values() if not quantizer.enabled]
        if off:
            more = f" and {len(off) - 5} more" if len(off) > 5 else ""
            raise ConfigError(
                f"{self._float.name}: disabled quantizers: {', '.join(off[:5])}{more}; an integer network has no float32 layers "
                "inside: enable them, with 16 bits where precision is needed"
            )
        return apply(self.graph, self.choice())

    # ---- running

    def forward(self, *inputs: Tensor) -> Any:
        """Outputs for float32 inputs of any number of rows: one tensor, a tuple of them, or what the network makes of them."""
        outputs = self.outputs(*inputs)
        if self._float.structure is not None:
            return self._float.structure.of(outputs)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        """All outputs of :meth:`forward` in a row, however the network hands them out."""
        self._settle()
        if len(inputs) != len(self._float.inputs):
            raise InputError(f"{self._float.name}: {len(inputs)} inputs given, takes {len(self._float.inputs)}")
        as_traced = all(
            tuple(x.shape) == self._float.types[name].shape for name, x in zip(self._float.inputs, inputs, strict=True)
        )
        graph = self._structure(None if as_traced or not inputs[0].dim() else len(inputs[0]))
        for name, value in zip(graph.inputs, inputs, strict=True):
            if tuple(value.shape) != graph.types[name].shape:
                raise InputError(f"input {name!r} has shape {tuple(value.shape)}, must be {graph.types[name].shape}")
        device = inputs[0].device
        values = {name: value.float() for name, value in zip(graph.inputs, inputs, strict=True)}
        values.update({name: held(graph, name, device) for name in graph.constants})
        grids: dict[str, Grid | None] = {
            name: None if tensor.quant is None else grid_of(tensor.quant, None, device) for name, tensor in graph.types.items()
        }
        if self.training:
            self._learned(graph, values, grids)
        return run(graph, values, grids, self._call)

    @contextmanager
    def watched(self) -> Iterator[dict[str, Tensor]]:
        """Fills a dict with what each layer gives, as real numbers, while the network runs within; the last layer's is what
        the network returns and is left out."""
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(step: nn.Module, args: tuple[Any, ...], result: Tensor | Sum) -> None:
                out = args[0].out
                if isinstance(result, Tensor):
                    seen[name] = result if out is None else out.offsets(result) * out.scale

            return hook

        names = [name for name in self._layers if name not in self._float.outputs]
        handles = [self._layers[name].register_forward_hook(keep(name)) for name in names]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _call(self, site: Site, values: Any) -> Tensor | Sum:
        node = site.node
        known = node.op != "dequantize" and (node.op != "quantize" or node.inputs[0] in self._float.inputs)
        step = self._steps[self._origin(node.name)] if known else _PLAIN
        result: Tensor | Sum = step(site, values)
        return result

    def _structure(self, rows: int | None) -> Graph:
        """The graph that runs, for so many rows (None: as traced).

        Made again when numbers changed; while training they are the parameters', and only its structure counts."""
        off = {root for root, quantizer in self._values.items() if not quantizer.enabled}
        real = tuple(name for name, layer in self._layers.items() if not layer.weight_quantizer.enabled)
        numbers = "those when training began" if self.training else self._versions()
        key = (rows, numbers, frozenset(off), real)
        if key not in self._cache:
            for old in [kept for kept in self._cache if kept[1:] != key[1:]]:  # type: ignore[index]
                del self._cache[old]
            choice, graph = self.choice(), self.graph
            if off or real:
                values = {name: None if self._plan.grid[name] in off else params for name, params in choice.values.items()}
                graph = partial(graph, replace(choice, values=values), real)
            else:
                graph = apply(graph, choice)
            self._cache[key] = graph if rows is None else rebatch(graph, rows)
        return self._cache[key]

    def _learned(self, graph: Graph, values: dict[str, Tensor], grids: dict[str, Grid | None]) -> None:
        """Puts the parameters of today in the place of constants and scales; weights come by their quantizers' hooks."""
        for name, tensor in graph.types.items():
            if tensor.quant is not None and name not in graph.constants:
                value = name if name in self._plan.grid else graph.node(name).inputs[0]
                grids[name] = grid_of(tensor.quant, self._values[self._plan.grid[value]].scale)
        for node in graph.nodes:
            if node.op not in LAYERS or len(node.inputs) < 3 + bool(node.attrs.get("residual")):
                continue
            layer, bias = self._layers[self._origin(node.name)], node.inputs[2]
            x, params = grids[node.inputs[0]], graph.types[node.inputs[1]].quant
            if x is None or params is None:
                values[bias] = layer.bias.float()
            else:
                weight = grids[node.inputs[1]] = grid_of(params, layer.weight_quantizer.scale)
                values[bias] = round_(layer.bias / (x.scale.double() * weight.scale.double()))

    def _origin(self, name: str) -> str:
        """The node of the float graph that a node of the running graph carries out."""
        while name not in self._plan.grid:
            name = name[:-1] if name.endswith("'") else name.removesuffix(".real").removesuffix(".quantize")
        return name


_PLAIN = Step()  # roundings and their reverse between parts, which are nobody's
