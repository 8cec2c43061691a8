"""Successive halving: measure many decisions a little, the good ones thoroughly.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.  Times of
different programs cannot be compared on a machine that others use as well, so every program holds the model's choice
too and decisions are compared by their ratio to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from lowbit.kernels.conv2d.selection.decide import Request
from lowbit.kernels.conv2d.selection.decision import Decision, Key, decision_of
from lowbit.tuning.database import Database
from lowbit.tuning.measure import Measured
from lowbit.tuning.trial import Trial, best_trial

__all__ = ["RUNGS", "Rung", "Search", "Watch"]

Measure = Callable[[Request, Sequence[Decision], int, float], tuple[Measured, list[Measured | None]]]
Watch = Callable[[str, float], None]
"""Told after each program: the layer and the best ratio so far."""


@dataclass(frozen=True)
class Rung:
    """``keep``: how many decisions are measured, of ``rounds`` rounds each, at most ``seconds`` a program."""

    keep: int
    rounds: int
    seconds: float


RUNGS = (Rung(1 << 30, 7, 0.5), Rung(8, 21, 1.0), Rung(3, 61, 2.0))
_WAVE = 8  # decisions a program
_WAVE_BYTES = 1 << 28  # weights a program
_FIRST_SHARE = 0.7  # of the time of a problem, for the first rung


@dataclass(eq=False)
class Search:
    """Finds decisions for problems on ``threads`` threads; what is measured goes to ``database`` at once, and what
    is in it is not measured again."""

    measure: Measure
    database: Database
    threads: int
    watch: Watch = lambda layer, ratio: None
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self.measured = 0  # programs
        self._known: dict[Key, dict[tuple[Decision, int], Trial]] = {}
        for trial in self.database.trials():
            if trial.threads == self.threads:
                self._known.setdefault(trial.key, {})[trial.decision, trial.rung] = trial

    def best(self, key: Key) -> Trial | None:
        """The best decision measured for a problem."""
        return best_trial(self._known.get(key, {}).values())

    def run(self, request: Request, decisions: Sequence[Decision], seconds: float) -> None:
        """Measure ``decisions``, in their order, beside the model's choice.

        The first rung ends after a part of ``seconds``; the others, which are short, are always done, with those that
        were faster than the model's choice.  Nothing is measured for ``seconds`` <= 0.
        """
        if seconds <= 0:
            return
        end = self.clock() + _FIRST_SHARE * seconds
        model = decision_of(request.model)
        alive = [decision for decision in decisions if decision != model]
        for level, rung in enumerate(RUNGS):
            alive = alive[: rung.keep]
            self._rung(request, alive, level, inf if level else end)
            done = [trial for (decision, at), trial in self._known[request.key].items() if at == level and decision in alive]
            alive = [trial.decision for trial in sorted(done, key=lambda trial: trial.ratio) if trial.ratio < 1.0]
            if not alive:
                return

    def _rung(self, request: Request, decisions: Sequence[Decision], level: int, end: float) -> None:
        known = self._known.setdefault(request.key, {})
        missing = [decision for decision in decisions if (decision, level) not in known]
        wave = max(1, min(_WAVE, _WAVE_BYTES // max(request.model.packing.nbytes, 1)))
        while (missing or (decision_of(request.model), level) not in known) and self.clock() < end:
            self._measure(request, missing[:wave], level)
            missing = missing[wave:]

    def _measure(self, request: Request, decisions: Sequence[Decision], level: int) -> None:
        rung, known, own = RUNGS[level], self._known[request.key], decision_of(request.model)
        former = _former({decision: trial.ratio for (decision, at), trial in known.items() if at == level}, own)
        beside = [former] if former and former not in (own, *decisions) else []
        decisions = [*beside, *decisions]
        model, measured = self.measure(request, decisions, rung.rounds, rung.seconds)
        self.measured += 1
        results = {own: model} | {d: result for d, result in zip(decisions, measured, strict=True) if result is not None}
        unit = known[former, level].ratio / results[former].ratio if former in results else 1.0
        trials = [
            Trial(request.key, self.threads, decision, level, result.ns, result.ratio * unit)
            for decision, result in results.items()
            if (decision, level) not in known
        ]
        self.database.append(trials)
        known.update({(trial.decision, trial.rung): trial for trial in trials})
        best = best_trial(known.values())
        self.watch(request.problem.layer, 1.0 if best is None else best.ratio)


def _former(known: Mapping[Decision, float], model: Decision) -> Decision | None:
    """Beside whom new ratios get the unit of those ``known`` of a rung: the model's choice where it is among them, else that
    of the model that measured them, with other costs; None where nothing is known."""
    return model if model in known else min(known, key=lambda decision: abs(known[decision] - 1.0), default=None)
