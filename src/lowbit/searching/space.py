"""What a search may choose: the widths of the weights of layers and of the values that they read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import product
from types import MappingProxyType
from typing import Any

from lowbit.errors import ConfigError
from lowbit.graph import Graph, Node
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QType
from lowbit.numerics.qtype import WIDTHS
from lowbit.quantization import LayerPrecision, QuantizationConfig, parse_config
from lowbit.quantization.patterns import parse_pattern
from lowbit.quantization.plan import make_plan, value_grids

__all__ = ["Dimension", "FixedPoint", "Kind", "Rule", "SearchSpace", "Space", "parse_choices", "parse_widths", "stored_space"]


class Kind(Enum):
    """What a dimension decides."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"
    BIAS = "bias"


@dataclass(frozen=True, order=True)
class FixedPoint:
    """``width`` bits, ``frac`` of them behind the point: integers q mean q * 2^-frac (MASE's ``width``, ``frac_width``)."""

    width: int
    frac: int

    def __str__(self) -> str:
        return f"{self.width}:{self.frac}"


Choice = int | FixedPoint
"""Bits, or a fixed-point format."""


@dataclass(frozen=True)
class Dimension:
    """One choice of a search.  ``layers``: those it decides about: whose weights (or biases) or whose inputs have this width.
    ``choices``: rising; widths, or fixed-point formats."""

    name: str
    kind: Kind
    layers: tuple[str, ...]
    choices: tuple[Choice, ...]

    @property
    def texts(self) -> tuple[int | str, ...]:
        """The choices as a storage of trials holds them."""
        return tuple(choice if isinstance(choice, int) else str(choice) for choice in self.choices)

    def choice(self, held: int | str) -> Choice:
        """The choice that a stored value means.  Raises ConfigError for one that is none of this dimension."""
        for choice, text in zip(self.choices, self.texts, strict=True):
            if text == held:
                return choice
        raise ConfigError(f"{self.name}: {held!r} is none of its choices {', '.join(map(str, self.texts))}")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind.value, "layers": list(self.layers), "choices": list(self.texts)}


def parse_widths(given: str | int | Iterable[int], where: str) -> tuple[int, ...]:
    """``"2..8"``, ``"2,4,8"``, 4 or [2, 4] -> widths, rising.  A range takes those widths in it that integers have.

    Raises ConfigError."""
    found: list[int] = []
    parts = [str(given)] if isinstance(given, int) else given.split(",") if isinstance(given, str) else [str(p) for p in given]
    for part in parts:
        match = re.fullmatch(r"\s*(\d+)\s*(?:\.\.\s*(\d+)\s*)?", part)
        ends = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        inside = [width for width in WIDTHS if ends[0] <= width <= ends[1]]
        if not inside or not {*ends} <= {*WIDTHS}:
            raise ConfigError(f"{where} {given!r}: write widths of {', '.join(map(str, WIDTHS))}, for example 2..8 or 2,4,8")
        found += inside
    if not found:
        raise ConfigError(f"{where}: no widths; write for example 2..8")
    return tuple(sorted(set(found)))


def parse_choices(given: Any, where: str) -> tuple[Choice, ...]:
    """Widths, or fixed-point formats given as pairs: [[8, 4], [6, 3]] or "8:4,6:3".  Raises ConfigError."""
    parts = given.split(",") if isinstance(given, str) else given
    if isinstance(parts, list | tuple):
        parts = [part.split(":") if isinstance(part, str) and ":" in part else part for part in parts]
        if parts and all(isinstance(part, list | tuple) and len(part) == 2 for part in parts):
            return tuple(sorted({_format(part, where) for part in parts}))
    return parse_widths(given, where)


def _format(part: Sequence[Any], where: str) -> FixedPoint:
    try:
        width, frac = (int(value) for value in part)
    except (TypeError, ValueError):
        width, frac = 0, 0
    if not (width in WIDTHS and width > 1 and -32 <= frac <= 32):
        raise ConfigError(
            f"{where} {list(part)!r}: write (width, frac_width), width of {', '.join(str(w) for w in WIDTHS if w > 1)}, "
            "frac_width from -32 to 32"
        )
    return FixedPoint(width, frac)


_ALIASES = {"conv": "type:conv2d", "conv2d": "type:conv2d", "linear": "type:linear", "depthwise": "type:depthwise"}


def layers_of(graph: Graph, pattern: str) -> list[str]:
    """Layers that a name, a glob, ``type:...`` or conv, linear, depthwise names.  Raises ConfigError listing the layers."""
    layers = [node for node in graph.nodes if node.op in LAYERS]
    match = parse_pattern(_ALIASES.get(pattern, pattern))
    found = [node.name for node in layers if match.matches(graph, node)]
    if not found:
        names = ", ".join(node.name for node in layers) or "none"
        raise ConfigError(f"{pattern!r} matches no layer; types: {', '.join(_ALIASES)}; layers: {names}")
    return found


@dataclass(frozen=True)
class Rule:
    """Choices for the layers that ``match`` (a name, a glob, or a type: conv, linear, depthwise); None: as before.

    ``weights``, ``activations``: widths (``"2..8"``, [2, 4]) or (width, frac_width) pairs; ``bias``: such pairs, None: 32-bit
    biases at the scale of the sums."""

    match: str
    weights: Any = None
    activations: Any = None
    bias: Any = None

    @classmethod
    def parse(cls, given: Mapping[str, Any], where: str = "rule") -> Rule:
        """A table of a configuration file: match, weights, activations, bias; or MASE's names, ``data_in``, ``weight``, ``bias``
        as lists of pairs, or ``data_in_width`` and ``data_in_frac_width`` (likewise weight, bias) as lists whose pairs are all
        tried.  Raises ConfigError."""
        given = dict(given)
        for mase, ours in (("data_in", "activations"), ("weight", "weights"), ("bias", "bias")):
            widths, fracs = given.pop(f"{mase}_width", None), given.pop(f"{mase}_frac_width", None)
            pairs = given.pop(mase, None)
            if widths is not None and fracs is not None:
                pairs = [list(pair) for pair in product(widths, fracs)]
            elif (widths is None) != (fracs is None):
                raise ConfigError(f"{where}: {mase}_width and {mase}_frac_width belong together")
            if pairs is not None:
                if ours in given and ours != mase:
                    raise ConfigError(f"{where}: {mase} and {ours} say the same; write one")
                given[ours] = pairs
        known = ("match", "weights", "activations", "bias")
        if unknown := [name for name in given if name not in known]:
            names = ", ".join((*known, "data_in", "weight", "data_in_width", "data_in_frac_width", "..."))
            raise ConfigError(f"{where}: unknown {', '.join(unknown)}; known: {names}")
        return cls(**{"match": "*", **given})


@dataclass(frozen=True)
class SearchSpace:
    """What to search, before a network is known.

    ``weights``, ``activations``: widths that every searched layer may have, as ``"2..8"`` or [2, 4, 8].  ``layers``: patterns of
    the layers to search (names, globs, conv, linear, depthwise), empty: all.  ``rules``: other choices for some of them, later
    ones win.  ``fixed``: pattern -> "i8/u8", layers that are not searched.  ``tied``: groups of patterns; layers of a group have
    the same widths.  ``base``: precision of all that is not searched.

    Layers that read the same value share the width of their input, and a value that something else reads, too, keeps its own, so
    that no two plans mean the same network."""

    weights: Any = "2..8"
    activations: Any = "4..8"
    layers: Sequence[str] = ()
    rules: Sequence[Rule | Mapping[str, Any]] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    tied: Sequence[Sequence[str]] = ()
    base: QuantizationConfig | str = "w8a8"

    def of(self, graph: Graph) -> Space:
        """The space of a canonical float graph.  Raises ConfigError for patterns that match nothing and choices that are none."""
        base = parse_config(self.base) if isinstance(self.base, str) else self.base
        if base is None:
            raise ConfigError("base fp32: what is not searched needs integers, too; write for example w8a8")
        nodes = {node.name: node for node in graph.nodes if node.op in LAYERS}
        searched = [name for pattern in self.layers for name in layers_of(graph, pattern)] or list(nodes)
        fixed = {name: LayerPrecision.parse(text) for pattern, text in self.fixed.items() for name in layers_of(graph, pattern)}
        searched = [name for name in nodes if name in searched and name not in fixed]
        if not searched:
            raise ConfigError(f"{graph.name}: nothing is left to search; layers: {', '.join(nodes) or 'none'}")
        wishes = {name: self._wishes(graph, name) for name in searched}
        groups = _merged([[n for p in group for n in layers_of(graph, p) if n in wishes] for group in self.tied], searched)
        space = Space(graph.name, (*_weights(wishes, groups), *_values(graph, nodes, wishes, groups)), base, fixed)
        return replace(space, dimensions=tuple(d for d in space.dimensions if _decides(graph, space, d)))

    def _wishes(self, graph: Graph, name: str) -> dict[Kind, tuple[Choice, ...]]:
        """The choices of one layer."""
        found: dict[Kind, Any] = {Kind.WEIGHTS: self.weights, Kind.ACTIVATIONS: self.activations, Kind.BIAS: None}
        where = dict.fromkeys(found, "")
        for given in self.rules:
            rule = given if isinstance(given, Rule) else Rule.parse(given)
            if name in layers_of(graph, rule.match):
                for kind, wish in ((Kind.WEIGHTS, rule.weights), (Kind.ACTIVATIONS, rule.activations), (Kind.BIAS, rule.bias)):
                    if wish is not None:
                        found[kind], where[kind] = wish, f" of {rule.match}"
        parsed = {kind: parse_choices(given, f"{kind.value}{where[kind]}") for kind, given in found.items() if given is not None}
        if any(not isinstance(choice, FixedPoint) for choice in parsed.get(Kind.BIAS, ())):
            raise ConfigError(f"bias{where[Kind.BIAS]}: write (width, frac_width) pairs, such as [[8, 6]]")
        return parsed


def _merged(groups: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
    """``names`` in groups: those that share a member with another are one; who is in none is alone."""
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for group in groups:
        for name in group[1:]:
            leader[find(name)] = find(group[0])
    merged: dict[str, list[str]] = {}
    for name in names:
        merged.setdefault(find(name), []).append(name)
    return list(merged.values())


def _agreed(wishes: Mapping[str, Mapping[Kind, tuple[Choice, ...]]], group: Sequence[str], kind: Kind) -> tuple[Choice, ...]:
    """The choices of a group: those that all of its layers have.  Raises ConfigError for none."""
    given = [wishes[name][kind] for name in group if kind in wishes[name]]
    common = [choice for choice in given[0] if all(choice in other for other in given)] if given else []
    if given and not common:
        raise ConfigError(f"{', '.join(group)}: they share their {kind.value}, but have no choice in common")
    return tuple(common)


def _weights(wishes: Mapping[str, Mapping[Kind, tuple[Choice, ...]]], groups: Sequence[Sequence[str]]) -> list[Dimension]:
    found = []
    for group in groups:
        for kind in (Kind.WEIGHTS, Kind.BIAS):
            if choices := _agreed(wishes, group, kind):
                found.append(Dimension(f"{group[0]} {kind.value}", kind, tuple(group), choices))
    return found


def _values(
    graph: Graph,
    nodes: Mapping[str, Node],
    wishes: Mapping[str, Mapping[Kind, tuple[Choice, ...]]],
    groups: Sequence[Sequence[str]],
) -> list[Dimension]:
    """One dimension for each value that searched layers read, or for several whose readers are tied."""
    grid = value_grids(graph)
    readers: dict[str, list[str]] = {}
    for name in wishes:
        readers.setdefault(grid.get(nodes[name].inputs[0], name), []).append(name)
    shared = _merged([*readers.values(), *groups], list(wishes))
    return [
        Dimension(f"{group[0]} {Kind.ACTIVATIONS.value}", Kind.ACTIVATIONS, tuple(group), choices)
        for group in shared
        if (choices := _agreed(wishes, group, Kind.ACTIVATIONS))
    ]


def _decides(graph: Graph, space: Space, dimension: Dimension) -> bool:
    """Whether the narrowest choice is what happens: a value that something else reads, too, is as wide as that asks for."""
    if dimension.kind is not Kind.ACTIVATIONS:
        return True
    plan = make_plan(graph, space.config({d.name: d.texts[0] for d in space.dimensions}))
    narrow = dimension.choices[0]
    bits = narrow if isinstance(narrow, int) else narrow.width
    roots = {plan.grid[graph.node(layer).inputs[0]] for layer in dimension.layers}
    asked = [plan.requested[root] for root in roots]
    return all(qtype is not None and qtype.bits == bits for qtype in asked)


@dataclass(frozen=True)
class Space:
    """The choices of a network.  ``base``: precision of what no dimension decides; ``fixed``: layers that are not searched."""

    network: str
    dimensions: tuple[Dimension, ...]
    base: QuantizationConfig
    fixed: Mapping[str, LayerPrecision]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed", MappingProxyType(dict(self.fixed)))

    @property
    def size(self) -> int:
        """Number of plans."""
        return math.prod(len(dimension.choices) for dimension in self.dimensions)

    @property
    def has_formats(self) -> bool:
        """Whether some choices are fixed-point formats."""
        return any(isinstance(choice, FixedPoint) for dimension in self.dimensions for choice in dimension.choices)

    def widths(self, kind: Kind) -> tuple[int, ...]:
        """All widths of a kind, rising; of a fixed-point format its width."""
        found = {c if isinstance(c, int) else c.width for d in self.dimensions if d.kind is kind for c in d.choices}
        return tuple(sorted(found))

    def checked(self, params: Mapping[str, int | str]) -> dict[str, Choice]:
        """Dimension -> choice.  Raises ConfigError for missing, unknown or impossible ones."""
        names = {dimension.name for dimension in self.dimensions}
        if wrong := sorted(names ^ set(params)):
            raise ConfigError(f"the plan has other dimensions than the space: {', '.join(wrong)}")
        return {dimension.name: dimension.choice(params[dimension.name]) for dimension in self.dimensions}

    def config(self, params: Mapping[str, int | str]) -> QuantizationConfig:
        """The precision of every layer that a plan means; of a fixed-point format its width."""
        chosen = self.checked(params)
        wishes = dict(self.fixed)
        for dimension in self.dimensions:
            choice = chosen[dimension.name]
            bits = choice if isinstance(choice, int) else choice.width
            for layer in dimension.layers:
                had = wishes.get(layer, LayerPrecision())
                if dimension.kind is Kind.WEIGHTS:
                    wishes[layer] = replace(had, weights=QType(bits, True, bipolar=bits == 1))
                elif dimension.kind is Kind.ACTIVATIONS:
                    signed = bits == 16 or isinstance(choice, FixedPoint)
                    wishes[layer] = replace(had, activations=QType(bits, signed))
        return self.base.with_overrides(wishes)

    def uniform(self, weights: int, activations: int) -> QuantizationConfig:
        """These widths in every layer that is not fixed, whether the space has them or not."""
        wish = LayerPrecision(QType(weights, True, bipolar=weights == 1), QType(activations, activations == 16))
        return self.base.with_overrides({"*": wish, **self.fixed})

    def to_json(self) -> dict[str, Any]:
        """See :func:`stored_space`."""
        return {
            "base": f"{self.base.weights}/{self.base.activations}",
            "fixed": {name: f"{wish.weights or ''}/{wish.activations or ''}" for name, wish in self.fixed.items()},
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
        }


def stored_space(network: str, held: Mapping[str, Any]) -> Space:
    """Inverse of ``Space.to_json``, of a configuration only the types."""
    weights, _, activations = held["base"].partition("/")
    dimensions = tuple(
        Dimension(
            d["name"], Kind(d["kind"]), tuple(d["layers"]), tuple(c if isinstance(c, int) else _text(c) for c in d["choices"])
        )
        for d in held["dimensions"]
    )
    fixed = {name: LayerPrecision.parse(text) for name, text in held["fixed"].items()}
    return Space(network, dimensions, QuantizationConfig(QType.parse(weights), QType.parse(activations)), fixed)


def _text(choice: str) -> FixedPoint:
    width, _, frac = choice.partition(":")
    return FixedPoint(int(width), int(frac))
