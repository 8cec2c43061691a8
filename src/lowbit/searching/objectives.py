"""What is wanted of a plan, and what it must hold to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit.errors import ConfigError
from lowbit.numerics.qtype import WIDTHS
from lowbit.searching.metrics import Metric, find_metric

__all__ = ["Bound", "Constraint", "Objective", "as_costs", "parse_bound", "parse_objectives", "weighted_sum"]


@dataclass(frozen=True)
class Objective:
    """``scale`` times ``metric``, as large or as small as it can be."""

    metric: Metric
    maximize: bool
    scale: float = 1.0

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"

    def scaled(self, metrics: Mapping[str, float]) -> float:
        return self.scale * metrics[self.name]

    def to_json(self) -> dict[str, Any]:
        kind = "software" if self.metric.software else "hardware"
        return {"name": self.name, "direction": self.direction, "scale": self.scale, "unit": self.metric.unit, "kind": kind}


def parse_objectives(given: str | Iterable[str] | Mapping[str, Any]) -> tuple[Objective, ...]:
    """``"accuracy,latency:0.2"`` (name:scale), names, or name -> {"scale": 0.2, "direction": "minimize"} (or a scale alone).

    Raises ConfigError for unknown metrics and directions, scales that are not above 0, none or one twice."""
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    pairs: list[tuple[str, Any]] = list(given.items()) if isinstance(given, Mapping) else []
    if not pairs:
        for text in given:
            name, _, scale = str(text).partition(":")
            pairs.append((name.strip(), scale.strip() or 1.0))
    found = tuple(_objective(name, wish) for name, wish in pairs)
    names = [objective.name for objective in found]
    if not found or len(set(names)) < len(names):
        raise ConfigError(
            f"objectives {', '.join(names) or 'none'}: write at least one metric, each once, for example accuracy,size"
        )
    return found


def _objective(name: str, wish: Any) -> Objective:
    metric = find_metric(name)
    table = wish if isinstance(wish, Mapping) else {"scale": wish}
    if unknown := set(table) - {"scale", "direction"}:
        raise ConfigError(f"objective {name}: unknown {', '.join(sorted(unknown))}; known: scale, direction")
    direction = table.get("direction", metric.direction)
    if direction not in ("maximize", "minimize"):
        raise ConfigError(f"objective {name}: direction {direction!r}; write maximize or minimize")
    try:
        scale = float(table.get("scale", 1.0))
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ConfigError(f"objective {name}: scale {table.get('scale')!r}; write a number above 0")
    return Objective(metric, direction == "maximize", scale)


def weighted_sum(objectives: Sequence[Objective], metrics: Mapping[str, float]) -> float:
    """Sum of what is to be large less the sum of what is to be small, each scaled: more is better."""
    return sum(o.scaled(metrics) if o.maximize else -o.scaled(metrics) for o in objectives)


def as_costs(objectives: Sequence[Objective], metrics: Mapping[str, float], single: bool) -> np.ndarray:
    """What orders plans, all to be small: the scaled objectives (m,), or with ``single`` their sum (1,)."""
    values = [-o.scaled(metrics) if o.maximize else o.scaled(metrics) for o in objectives]
    return np.array([sum(values)] if single else values)


@dataclass(frozen=True)
class Bound:
    """A constraint as it is written: ``metric`` at least or at most ``number``, or that metric of ``network`` plus ``number``."""

    text: str
    metric: Metric
    at_least: bool
    network: str | None
    number: float

    def resolved(self, metrics_of: Callable[[str], Mapping[str, float]]) -> Constraint:
        """``metrics_of(network)``: what "float" or a uniform network such as "w8a8" reaches."""
        base = 0.0 if self.network is None else metrics_of(self.network)[self.metric.name]
        return Constraint(self.text, self.metric, self.at_least, base + self.number)


@dataclass(frozen=True)
class Constraint:
    """``metric`` is at least, or at most, ``limit``."""

    text: str
    metric: Metric
    at_least: bool
    limit: float

    def violation(self, metrics: Mapping[str, float]) -> float:
        """By how much it is broken; 0 or less where it holds."""
        value = metrics[self.metric.name]
        return self.limit - value if self.at_least else value - self.limit

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "metric": self.metric.name, "at_least": self.at_least, "limit": self.limit}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Constraint:
        return cls(held["text"], find_metric(held["metric"]), held["at_least"], held["limit"])


_BOUND = re.compile(
    r"\s*(?P<metric>\w+)\s*(?P<way><=|>=)\s*(?:(?P<network>float|w\d+a\d+)\s*(?:(?P<sign>[+-])\s*(?P<offset>[0-9.eE]+%?)\s*)?|(?P<number>[-+]?[0-9.]+(?:[eE][-+]?\d+)?%?))\s*"
)


def parse_bound(text: str) -> Bound:
    """``"accuracy >= 0.91"``, ``"latency <= 1.5"``, ``"accuracy >= w8a8 - 0.005"``, ``"loss <= float + 0.1"``; ``0.5%`` is 0.005.

    Raises ConfigError."""
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"constraint {text!r}: write for example 'accuracy >= 0.91', 'size <= 120000', 'accuracy >= float - 0.5%' or "
            "'accuracy >= w8a8 - 0.005'"
        )
    metric = find_metric(match["metric"])
    try:
        number = _number(match["number"]) if match["network"] is None else _number(match["offset"] or "0")
    except ValueError:
        raise ConfigError(f"constraint {text!r}: {match['number'] or match['offset']!r} is no number") from None
    if match["sign"] == "-":
        number = -number
    if (network := match["network"]) not in (None, "float") and any(int(n) not in WIDTHS for n in re.findall(r"\d+", network)):
        raise ConfigError(f"constraint {text!r}: widths of {network!r} are {', '.join(map(str, WIDTHS))}")
    if match["network"] == "float" and not metric.software:
        raise ConfigError(
            f"constraint {text!r}: of the float network only accuracy, top5 and loss are known; write w8a8 or a number"
        )
    return Bound(" ".join(text.split()), metric, match["way"] == ">=", match["network"], number)


def _number(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)
