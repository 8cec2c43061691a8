"""Does anything of the input reach the output?  A network that is dead is fast, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.graph import Graph
from lowbit.measure.expected import expected_outputs
from lowbit.measure.output_check import dead_channels

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["NEARLY", "LayerSignal", "Signal", "check_signal", "input_ranges", "signal_inputs"]

NEARLY = 0.99  # share of one value from which a layer's output is "nearly all one value"
_QUIET = ("pad", "quantize", "reshape")  # they repeat what their source says


@dataclass(frozen=True)
class LayerSignal:
    """The output of one node on all inputs.  ``channels`` and ``dead_channels`` (one value whatever input and
    position): 0 for tensors without a channel axis.  ``same``: share of the most frequent value.
    ``depends``: whether two inputs gave different outputs."""

    name: str
    op: str
    channels: int
    dead_channels: int
    same: float
    depends: bool


@dataclass(frozen=True)
class Signal:
    """``layers``: every node that computes something, in order.  ``alive``: the network's outputs depend on its input."""

    inputs: int
    layers: tuple[LayerSignal, ...]
    alive: bool

    @property
    def dead_from(self) -> str:
        """The first layer from which on nothing depends on the input; "" for a network that is alive."""
        if self.alive:
            return ""
        first = ""
        for layer in reversed(self.layers):
            if layer.depends:
                break
            first = layer.name
        return first

    @property
    def constant(self) -> tuple[LayerSignal, ...]:
        """Layers whose output is the same for all inputs."""
        return tuple(layer for layer in self.layers if not layer.depends)

    @property
    def nearly_constant(self) -> tuple[LayerSignal, ...]:
        """Layers that depend on the input, but hold one value nearly everywhere."""
        return tuple(layer for layer in self.layers if layer.depends and layer.same >= NEARLY)

    @property
    def dead_channels(self) -> tuple[int, int]:
        """(dead, all) output channels of convolutions and linear layers."""
        layers = [layer for layer in self.layers if layer.op in ("conv2d", "linear")]
        return sum(layer.dead_channels for layer in layers), sum(layer.channels for layer in layers)

    def to_json(self) -> dict[str, Any]:
        layers = [asdict(layer) for layer in self.layers]
        return {"inputs": self.inputs, "alive": self.alive, "dead_from": self.dead_from, "layers": layers}


def check_signal(graph: Graph, inputs: Sequence[Sequence[np.ndarray]]) -> Signal:
    """Interpret ``graph`` on ``inputs`` (two or more; each the arrays of one call) and look at every output.

    What is found is true of these inputs: a layer that depends on none of them may depend on others.  Integer
    graphs run in the oracle, about a second for 10^9 multiply-accumulates and input; float graphs in torch.
    """
    if len(inputs) < 2:
        raise ValueError("whether an output depends on the input takes two inputs to see")
    ops = {node.name: node.op for node in graph.nodes}
    watch = _Watch({name for name, op in ops.items() if op not in _QUIET})
    results = [expected_outputs(graph, arrays, watch) for arrays in inputs]
    alive = any(not np.array_equal(a, b) for later in results[1:] for a, b in zip(results[0], later, strict=True))
    return Signal(len(inputs), tuple(_layer(name, ops[name], values) for name, values in watch.seen.items()), alive)


class _Watch:
    """Keeps the outputs of some nodes."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.seen: dict[str, list[np.ndarray]] = {}

    def __call__(self, name: str, value: np.ndarray) -> None:
        if name in self.names:
            self.seen.setdefault(name, []).append(value)


def _layer(name: str, op: str, values: list[np.ndarray]) -> LayerSignal:
    channels = values[0].shape[1] if values[0].ndim >= 2 else 0
    together = np.concatenate([value.reshape(-1) for value in values])
    _, counts = np.unique(together, return_counts=True)
    depends = any(not np.array_equal(values[0], value) for value in values[1:])
    dead = dead_channels(values) if channels else 0
    return LayerSignal(name, op, channels, dead, float(counts.max() / together.size), depends)


def signal_inputs(compiled: Compiled, count: int = 2, seed: int = 0) -> list[list[np.ndarray]]:
    """Random inputs that use the whole range of the network's input quantization (standard normal where there is
    none), each of its own brightness, in patches of several sizes."""
    ranges = input_ranges(compiled.graph())
    rng = np.random.default_rng(seed)
    names = [tensor["name"] for tensor in compiled.manifest["inputs"]]
    shapes = compiled.input_shapes
    return [[_picture(rng, shape, ranges.get(name)) for name, shape in zip(names, shapes, strict=True)] for _ in range(count)]


def input_ranges(graph: Graph) -> Mapping[str, tuple[float, float]]:
    """Input -> (smallest, largest) real number its integers stand for."""
    found = {}
    for node in graph.nodes:
        quant = graph.types[node.name].quant
        if node.op == "quantize" and node.inputs[0] in graph.inputs and quant is not None and quant.scale.ndim == 0:
            q, zero, scale = quant.qtype, quant.zero_point, float(quant.scale)
            found[node.inputs[0]] = (scale * (q.qmin - zero), scale * (q.qmax - zero))
    return found


def _picture(rng: np.random.Generator, shape: tuple[int, ...], bounds: tuple[float, float] | None) -> np.ndarray:
    values = rng.standard_normal(shape)
    if len(shape) == 4:
        for patch in (4, 16):
            coarse = rng.standard_normal((*shape[:2], *(-(-size // patch) for size in shape[2:])))
            values += np.kron(coarse, np.ones((1, 1, patch, patch)))[..., : shape[2], : shape[3]]
        values = values / np.sqrt(3) + 0.5 * rng.standard_normal()
    if bounds is not None:
        low, high = bounds
        values = np.clip((low + high) / 2 + values * (high - low) / 4, low, high)
    return values.astype(np.float32)
