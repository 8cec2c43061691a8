"""Times of decisions: compiled, checked, run by the real runtime."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.backend.protocol import OpenNetwork
from lowbit.backend.table import backend_of
from lowbit.errors import warn
from lowbit.kernels.conv2d.selection.decide import Request, realize
from lowbit.kernels.conv2d.selection.decision import Decision
from lowbit.kernels.conv2d.selection.problem import Choice
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.targets import Target
from lowbit.tuning.probe import Probe, make_probe

__all__ = ["Measured", "Measurer"]

_LEAST_ROUNDS = 3
_ROUNDING = 2.0**-24


@dataclass(frozen=True)
class Measured:
    """Median nanoseconds, and the median of time / time of the model's choice in the same round."""

    ns: float
    ratio: float


@dataclass(frozen=True)
class Measurer:
    """Measures on ``threads`` threads of this machine."""

    target: Target
    threads: int

    def __call__(
        self, request: Request, decisions: Sequence[Decision], rounds: int, seconds: float
    ) -> tuple[Measured, list[Measured | None]]:
        """(the model's choice, each of ``decisions``), all in turns, for ``rounds`` rounds or until ``seconds`` are over.

        Before anything is timed, every output is compared with that of the model's choice: integers one for one,
        float32 within twice the bound of form ``f32``, also for algorithms that are proven only to a larger one; twice that of a
        way to multiply that was asked for is added.
        None for a decision that is not admissible or whose output differs; the latter is a warning.
        """
        realized = [realize(d, request.problem, request.weights, self.target, request.found) for d in decisions]
        # the first of a run finds sleeping threads and cold code: the model's choice once more, untimed
        choices = [request.model, request.model, *(choice for choice in realized if choice is not None)]
        probe = make_probe(request.problem, choices, request.weights, self.target)
        backend = backend_of(self.target)
        objects = backend.compile(probe.program.specs, self.target)
        sections = backend.link(probe.program, objects, self.target)
        network = backend.open(sections, sections["weights.bin"], self.threads)
        try:
            right = _check(network.run(probe.inputs), request, choices)
            times = _times(network, probe, rounds, seconds)
        finally:
            network.close()
        times = times[:, 1:]
        ratios, medians = np.median(times / times[:, :1], axis=0), np.median(times, axis=0)
        measured = [
            Measured(float(ns), float(ratio)) if ok else None for ns, ratio, ok in zip(medians, ratios, right[1:], strict=True)
        ]
        others = iter(measured[1:])
        return Measured(float(medians[0]), 1.0), [None if choice is None else next(others) for choice in realized]


def _times(network: OpenNetwork, probe: Probe, rounds: int, seconds: float) -> np.ndarray:
    """Nanoseconds [round][choice]."""
    end = time.perf_counter() + seconds
    rows: list[list[int]] = []
    while len(rows) < rounds and (len(rows) < _LEAST_ROUNDS or time.perf_counter() < end):
        ns = network.profile(probe.inputs)
        rows.append([max(int(ns[own].sum()), 1) for own in probe.operations])
    return np.array(rows, np.float64)


def _check(outputs: list[np.ndarray], request: Request, choices: Sequence[Choice]) -> list[bool]:
    """Whether each output is that of the first choice."""
    problem, bound = request.problem, 0.0
    if problem.weight == "f32":
        # inputs are within 6 (normal deviates), so sum |x w| <= 6 * the largest sum |w|; the residual adds one value
        roundings = request.weights[0].size + 2
        largest = 6.0 * (float(np.abs(request.weights).sum((1, 2, 3)).max()) + 1.0)
        asked = max((c.spec.relative_error or 0.0 for c in choices if isinstance(c.spec, ConvSpec)), default=0.0)
        bound = (2.0 * roundings * _ROUNDING / (1 - roundings * _ROUNDING) + 2.0 * asked) * largest
    right = [bool(np.all(np.abs(output - outputs[0]) <= bound)) for output in outputs]
    for ok, choice in zip(right, choices, strict=True):
        if not ok:
            warn(
                f"{problem.layer}: kernel {choice.spec.label} computes something else than {choices[0].spec.label} "
                "and is not used; please report this"
            )
    return right
