"""Who computes in how many bits: the precision of every layer, the integer type of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lowbit.errors import ConfigError
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS, PASS_THROUGH, POSITIONS, channel_multiplier
from lowbit.numerics import QType
from lowbit.quantization.config import LayerPrecision, QuantizationConfig

__all__ = ["Plan", "layer_precisions", "make_plan", "quantized_values", "value_grids"]

_I16 = QType(16, True)
_NARROW = 4  # bits of weights that leave inputs their accuracy: 0.5 dB less of it
_MAKE_FLOAT = (*LAYERS, "softmax", "unary")  # may end the integer part of a network
_MOVES = ("expand", "interleave", "permute", "reshape", "slice", "take")  # float32 may pass through these on its way out


@dataclass(frozen=True)
class Plan:
    """``layers``: name -> precision, all fields but container set.  ``grid``: value -> the value whose scale and zero point
    it shares (itself, mostly).  ``requested``: grid -> the type its readers ask for; None = float32."""

    layers: Mapping[str, LayerPrecision]
    grid: Mapping[str, str]
    requested: Mapping[str, QType | None]


def layer_precisions(graph: Graph, config: QuantizationConfig) -> dict[str, LayerPrecision]:
    """Layer name -> its weights, activations (type of its input) and container, in order of execution.

    The defaults, then first_last_bits for the first and the last layer, then the overrides in
    order, field by field.  Raises ConfigError for a pattern that matches no layer.
    """
    layers = [node for node in graph.nodes if node.op in LAYERS]
    names = [layer.name for layer in layers]
    overrides = config.patterns
    for text, pattern, _ in overrides:
        if not any(pattern.matches(graph, layer) for layer in layers):
            raise ConfigError(f"override {text!r} matches no layer; layers: {', '.join(names) or 'none'}")
    ends = {*_parts_with(graph, names[0]), *_parts_with(graph, names[-1])} if names else set()
    chosen: dict[str, LayerPrecision] = {}
    for layer in layers:
        weights, activations = config.weights, config.activations
        container = config.weight_container
        if config.first_last_bits is not None and layer.name in ends:
            weights, activations = (_at_least(q, config.first_last_bits) for q in (weights, activations))
            container = None if container is None else max(container, weights.bits)
        for _, pattern, wish in overrides:
            if pattern.matches(graph, layer):
                if wish.weights is not None:
                    weights = wish.weights
                    container = None if container is None else max(container, weights.bits)
                activations = activations if wish.activations is None else wish.activations
                container = container if wish.container is None else wish.container
        if container is not None and container < weights.bits:
            raise ConfigError(f"{layer.name}: a container of {container} bits cannot hold {weights} weights")
        chosen[layer.name] = LayerPrecision(weights, activations, container)
    return chosen


def _parts_with(graph: Graph, layer: str) -> tuple[str, ...]:
    """The layers that are one with this: those whose results are put between each other, as of a transposed convolution."""
    woven = {node.inputs[0] for node in graph.nodes if node.op == "interleave"}
    joined = [node.inputs for node in graph.nodes if node.op == "concat" and node.name in woven]
    return next((inputs for inputs in joined if layer in inputs), (layer,))


def _at_least(qtype: QType, bits: int) -> QType:
    if qtype.bits >= bits:
        return qtype
    return QType(bits, qtype.signed or bits == 16) if bits > 1 else qtype


def _wider(a: QType | None, b: QType | None) -> QType | None:
    """The wider; of two equally wide the unsigned, which adapts its zero point to the tensor."""
    if a is None or b is None:
        return b if a is None else a
    return max(a, b, key=lambda q: (q.bits, not q.signed, q.qmax))


def value_grids(graph: Graph) -> dict[str, str]:
    """Value -> representative of those that share a scale: what only selects values keeps its
    input's; what only a concatenation reads takes the concatenation's, which saves a rounding."""
    parent = {name: name for name in (*graph.inputs, *(node.name for node in graph.nodes))}
    for node in graph.nodes:
        if node.op in PASS_THROUGH and node.inputs[0] in parent:
            parent[node.name] = parent[node.inputs[0]]
    members: dict[str, list[str]] = {}
    for name, root in parent.items():
        members.setdefault(root, []).append(name)
    users = graph.users()
    tied: dict[str, str] = {}
    for node in graph.nodes:
        for name in node.inputs if node.op == "concat" else ():
            group = members.get(parent.get(name, ""), [])
            readers = {u.name for m in group for u in users[m] if u.op not in PASS_THROUGH}
            if readers == {node.name} and not any(m in graph.outputs for m in group):
                tied[parent[name]] = node.name

    def find(root: str) -> str:
        while root in tied:
            root = parent[tied[root]]
        return root

    return {name: find(root) for name, root in parent.items()}


def _last_values(graph: Graph) -> set[str]:
    """Values that reach the outputs as they are, or as positions, and nobody else."""
    users, last = graph.users(), set()
    for node in reversed(graph.nodes):
        readers = users[node.name]
        if (readers or node.name in graph.outputs) and all(u.op in (*_MOVES, *POSITIONS) and u.name in last for u in readers):
            last.add(node.name)
    return last


def quantized_values(graph: Graph) -> list[str]:
    """The values whose range decides a scale, whatever the configuration: one per grid."""
    grid, last = value_grids(graph), _last_values(graph)
    floats = {grid[node.name] for node in graph.nodes if (node.name in last and node.op in _MAKE_FLOAT) or node.op in POSITIONS}
    return [root for root in dict.fromkeys(grid.values()) if root not in floats]


def make_plan(graph: Graph, config: QuantizationConfig) -> Plan:
    """Chooses the integer type of every value of a canonical float graph.

    A value has the type that the layers reading it ask for, the widest of them; one that no layer
    reads has the type asked of its readers' outputs (an average pool before an 8-bit classifier
    keeps 8 bits).  Both factors of a matrix product have the
    configuration's activations.  What feeds a softmax is i16, and what feeds a normalisation where no layer
    reads it, since what is small there may be large behind it.  Last layers, last softmaxes and last unary functions give
    float32; other outputs (and what a last function reads) i16, since nothing multiplies them.  Bytes beside
    narrow weights leave room for them (:func:`_with_room`), unless ``config.full_range``.
    """
    layers, grid, last = layer_precisions(graph, config), value_grids(graph), _last_values(graph)
    firm: dict[str, QType | None] = {}
    loose: dict[str, QType | None] = {}
    requested: dict[str, QType | None] = {}

    def settle(root: str) -> QType | None:
        if root not in requested:
            requested[root] = firm.get(root) or loose.get(root) or config.activations
        return requested[root]

    def ask(wishes: dict[str, QType | None], value: str, qtype: QType | None) -> None:
        if value in grid:
            wishes[grid[value]] = _wider(wishes.get(grid[value]), qtype)

    for name in graph.outputs:
        ask(loose, name, _I16)
    for node in reversed(graph.nodes):
        if node.op in PASS_THROUGH:
            continue
        floats = (node.name in last and node.op in _MAKE_FLOAT) or node.op in POSITIONS
        if floats:
            requested[grid[node.name]] = None
        passed_on = _I16 if floats else settle(grid[node.name])
        if node.op in LAYERS:
            ask(firm, node.inputs[0], layers[node.name].activations)
            if node.attrs.get("residual"):
                ask(loose, node.inputs[-1], passed_on)
        elif node.op == "softmax":
            ask(firm, node.inputs[0], _I16)
        elif node.op == "matmul":
            for name in node.inputs:
                ask(firm, name, config.activations)
        elif node.op in ("normalize", "response_norm"):
            ask(loose, node.inputs[0], _I16)
        else:
            for name in node.inputs:
                if grid.get(name) != grid[node.name]:
                    ask(loose, name, passed_on)
    for name in graph.inputs:
        settle(grid[name])
    return Plan(layers, grid, requested if config.full_range else _with_room(graph, layers, grid, requested))


def _with_room(
    graph: Graph, layers: Mapping[str, LayerPrecision], grid: Mapping[str, str], requested: Mapping[str, QType | None]
) -> dict[str, QType | None]:
    """Unsigned bytes that only layers with weights of up to 4 bits multiply end at 255 less the reach of these weights, u8:240
    beside i4: then an input and a weight add up to a byte, and kernels multiply two pairs at a time (decision 40).  Depthwise
    layers, which gain nothing, have no say."""
    reach: dict[str, list[int]] = {}
    for node in graph.nodes:
        if node.op in LAYERS and channel_multiplier(graph, node) is None and node.inputs[0] in grid:
            weights = layers[node.name].weights
            assert weights is not None
            most = weights.qmax - weights.qmin if weights.bits <= _NARROW else 255
            reach.setdefault(grid[node.inputs[0]], []).append(most)
    tops = {root: 255 - max(most) for root, most in reach.items() if max(most) < 255}
    byte = QType(8, False)
    return {root: replace(byte, top=tops[root]) if root in tops and q == byte else q for root, q in requested.items()}
