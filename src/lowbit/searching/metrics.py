"""THE table of metrics: what can be asked of a plan, and how it is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowbit.errors import ConfigError

if TYPE_CHECKING:
    from lowbit.searching.candidate import Candidate

__all__ = ["METRICS", "Metric", "Value", "find_metric"]


@dataclass(frozen=True)
class Value:
    """``error``: one standard error, or the spread of a time; 0: exact."""

    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Metric:
    """``maximize``: whether more is better.  ``software``: of what the network says; else of what it costs.  ``cheap``: found
    from the plan alone, so every trial has it.  ``of``: raises what computing it raises; never a default."""

    name: str
    what: str
    of: Callable[[Candidate], Value]
    unit: str = ""
    maximize: bool = False
    software: bool = False
    cheap: bool = True

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"

    def to_json(self) -> dict[str, Any]:
        kind = "software" if self.software else "hardware"
        return {"unit": self.unit, "kind": kind, "direction": self.direction, "what": self.what}


def _accuracy(c: Candidate) -> Value:
    return Value(c.outcomes.top1, c.outcomes.top1_error)


def _top5(c: Candidate) -> Value:
    if c.outcomes.top5 is None or c.outcomes.top5_error is None:
        raise ConfigError(f"metric top5: the network has {c.outcomes.classes} classes, and more than five are needed")
    return Value(c.outcomes.top5, c.outcomes.top5_error)


def _loss(c: Candidate) -> Value:
    return Value(c.outcomes.loss, c.outcomes.loss_error)


def _instructions(c: Candidate) -> Value:
    if c.reading.instructions is None:
        raise ConfigError(
            f"metric instructions: nothing counts them on {c.where}; give a target that is emulated, such as raspberry-pi-4, "
            "or write latency"
        )
    return Value(c.reading.instructions)


_ALL = (
    Metric("accuracy", "share of the images whose label comes first", _accuracy, "", True, True, False),
    Metric("top5", "share of the images whose label is among the first five", _top5, "", True, True, False),
    Metric("loss", "mean cross entropy", _loss, "nats", False, True, False),
    Metric("latency", "time of a run, from measured kernels", lambda c: Value(c.reading.ms, c.reading.error), "ms", cheap=False),
    Metric("instructions", "instructions of a run, counted under emulation", _instructions, "", cheap=False),
    Metric("size", "packed weights, biases and scales on disk", lambda c: Value(c.weight_file_bytes), "B"),
    Metric("file_size", "the whole artifact on disk, code included", lambda c: Value(c.file_bytes), "B", cheap=False),
    Metric("flops", "floating-point operations that the layers stand for, 2 a product", lambda c: Value(2 * c.macs)),
    Metric("bit_operations", "products times bits of weight times bits of value", lambda c: Value(c.bit_operations)),
    Metric("average_bitwidth", "bits of a weight, mean over all weights", lambda c: Value(c.average_bits[0]), "bit"),
    Metric("activation_bitwidth", "bits of a value, mean over all that layers read", lambda c: Value(c.average_bits[1]), "bit"),
    Metric("memory_density", "32 / average_bitwidth", lambda c: Value(32 / c.average_bits[0]), "", True),
    Metric(
        "sum_of_bits", "bits of all quantizers: weights of layers and values they read", lambda c: Value(c.sum_of_bits), "bit"
    ),
    Metric("peak_memory", "bytes that a run holds: arena, unpacked weights, constants", lambda c: Value(c.peak_memory), "B"),
    Metric("energy", "estimate by a table of operations (search/energy.py)", lambda c: Value(c.energy_uj), "uJ"),
)

METRICS = {metric.name: metric for metric in _ALL}


def find_metric(name: str) -> Metric:
    """Raises ConfigError listing the names."""
    if name not in METRICS:
        from difflib import get_close_matches

        near = get_close_matches(name, METRICS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"no metric {name!r}; known: {', '.join(METRICS)}{hint}")
    return METRICS[name]
