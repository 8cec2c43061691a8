"""What an emulated run gives: outputs, whether they are right, and figures by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.measure.expected import expected_outputs

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["Emulation", "LayerFigures", "Verdict", "judge"]


@dataclass(frozen=True)
class LayerFigures:
    """One operation.  ``instructions`` of its kernel in one run, on one thread, and their ``classes``; ``cycles``: llvm-mca's
    estimate of them; None where they are not known.  ``emulated_ms``: median wall time under QEMU."""

    layer: str
    kernel: str
    macs: int
    emulated_ms: float | None = None
    instructions: int | None = None
    classes: Mapping[str, int] = field(default_factory=dict)
    cycles: float | None = None


@dataclass(frozen=True)
class Verdict:
    """``exact``: every output equals the oracle's in every element; None for a float network, which has no single
    right answer.  ``max_error``: largest difference relative to the largest output."""

    exact: bool | None
    max_error: float

    def __str__(self) -> str:
        if self.exact is None:
            return f"float: within {self.max_error:.1e} of the float64 network, relative to the largest output"
        return "equals the oracle in every element" if self.exact else f"WRONG: differs from the oracle by {self.max_error:.1e}"


@dataclass(frozen=True, eq=False)
class Emulation:
    """``where``: what ran it; ``times``: mean_ms, median_ms, min_ms, max_ms, std_ms of the emulated wall time;
    ``runtime_instructions``: outside the kernels; ``clock_hz``: of the real machine, 0 = unknown; ``notes``: what is missing,
    and why."""

    where: str
    target: str
    clock_hz: int
    outputs: tuple[np.ndarray, ...]
    layers: tuple[LayerFigures, ...]
    times: Mapping[str, float]
    runs: int
    threads: int
    verdict: Verdict
    runtime_instructions: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def instructions(self) -> int | None:
        """Of one run, kernels and runtime; None if they were not counted."""
        if self.runtime_instructions is None:
            return None
        return self.runtime_instructions + sum(layer.instructions or 0 for layer in self.layers)

    @property
    def estimated_ms(self) -> float | None:
        """The kernels' cycles at the machine's clock, one thread."""
        cycles = [layer.cycles for layer in self.layers]
        if not self.clock_hz or not cycles or None in cycles:
            return None
        return 1e3 * sum(c for c in cycles if c is not None) / self.clock_hz

    def to_json(self) -> dict[str, Any]:
        """Everything but the outputs."""
        return {
            "where": self.where,
            "target": self.target,
            "exact": self.verdict.exact,
            "max_error": self.verdict.max_error,
            "instructions": self.instructions,
            "runtime_instructions": self.runtime_instructions,
            "estimated_ms": self.estimated_ms,
            "emulated": {**self.times, "runs": self.runs, "threads": self.threads},
            "layers": [vars(layer) | {"classes": dict(layer.classes)} for layer in self.layers],
            "notes": list(self.notes),
        }


def judge(network: Compiled, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> Verdict:
    """Compare with the oracle; a float network with its evaluation in float64."""
    graph = network.graph()
    with np.errstate(all="ignore"):  # NaN and infinities are inputs like others
        wanted = expected_outputs(graph, inputs, float_type="float64")
    exact = all(np.array_equal(a, b) for a, b in zip(outputs, wanted, strict=True)) if graph.is_exact else None
    return Verdict(exact, max(map(_error, outputs, wanted)))


def _error(output: np.ndarray, wanted: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.abs(output.astype(np.float64) - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))
