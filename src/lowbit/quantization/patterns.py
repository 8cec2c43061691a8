"""Which layers an override is about."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from lowbit.errors import ConfigError
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS, channel_multiplier

__all__ = ["ByName", "ByType", "LayerPattern", "parse_pattern"]

_DEPTHWISE = "depthwise"


@dataclass(frozen=True)
class ByName:
    """A layer's name, or a glob over names."""

    glob: str

    def matches(self, graph: Graph, layer: Node) -> bool:
        return layer.name == self.glob or fnmatchcase(layer.name, self.glob)


@dataclass(frozen=True)
class ByType:
    """``operation``: conv2d or linear; ``depthwise``: of conv2d only those that have one input channel per output channel."""

    operation: str
    depthwise: bool = False

    def matches(self, graph: Graph, layer: Node) -> bool:
        return layer.op == self.operation and (not self.depthwise or channel_multiplier(graph, layer) is not None)


LayerPattern = ByName | ByType


def parse_pattern(text: str) -> LayerPattern:
    """``"type:conv2d"`` -> ByType, other text -> ByName.  Raises ConfigError for an unknown type."""
    kind = text.removeprefix("type:")
    if kind == text:
        return ByName(text)
    if kind == _DEPTHWISE:
        return ByType("conv2d", depthwise=True)
    if kind not in LAYERS:
        raise ConfigError(f"override {text!r}: layer types are type:conv2d, type:linear and type:depthwise")
    return ByType(kind)
