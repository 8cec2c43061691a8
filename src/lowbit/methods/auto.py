"""Tries what may pay, measures it on rows that were not fitted, keeps the best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowbit.methods.activation_equalization import ActivationEqualization
from lowbit.methods.adaround import AdaRound
from lowbit.methods.bias_correction import BiasCorrection
from lowbit.methods.channel_splitting import ChannelSplitting, rows_with_dead_channels
from lowbit.methods.coordinate_descent import CoordinateDescent
from lowbit.methods.equalization import Equalization
from lowbit.methods.judge import Judge
from lowbit.methods.ranges import Ranges
from lowbit.methods.run import measured, name_of
from lowbit.methods.task import Method, Step, Task
from lowbit.methods.walk import why_not_walked
from lowbit.methods.work import descent_within, rounding_within
from lowbit.quantization import apply

__all__ = ["LEAST_ROWS", "Auto", "best_of"]

LEAST_ROWS = 32
"""Of fewer kept rows nothing is learned: two thirds of them would be fitted well and mean little."""
_ROWS_FOR_RANGES = 8  # that choose among a few observers
SECONDS = 60.0
_DESCENTS = (
    CoordinateDescent(),
    CoordinateDescent(sweeps=8, steps=(1.0, 0.8, 0.9, 1.1), shares=(10.0, 1.0, 0.1)),
    CoordinateDescent(sweeps=4, steps=(1.0,), shares=(1.0,)),
)
"""From the most to the least work."""
_DESCENDING = 0.6  # of the time: what is left is AdaRound's
_ROUNDING = (AdaRound, CoordinateDescent)
_COARSE = 6  # bits of a value up to which its channels should share its grid well


@dataclass(frozen=True)
class Auto:
    """``seconds``: about what all candidates together take, where the task has no time of its own.

    How much coordinate descent and AdaRound do follows from it by counted multiplications (methods/work.py), not by the clock,
    so that the integers are the same on a slow and on a fast machine.  The clock only guards: after ``patience`` times
    ``seconds`` what runs is cut short, and the log says so.

    Looks for the observer that suits the network, equalises neighbouring layers, rounds anew where weights have less than 8 bits
    (coordinate descent, AdaRound), corrects biases.  Each candidate starts with the best so far; one that lowers the error on
    the rows that judge becomes the best (AdaRound behind coordinate descent: by more than its standard error), all others are
    dropped, so that the result is never worse there than rounding to nearest."""

    seconds: float = SECONDS
    patience: float = 3.0

    def __call__(self, task: Task) -> Task:
        if (done := few_rows(task, "auto")) is not None:
            return done
        planned = self.seconds
        if task.seconds is not None:  # then the time given is the guard
            planned = task.seconds / self.patience
        else:
            limit = self.seconds * self.patience
            task = replace(task, seconds=limit, deadline=time.monotonic() + limit)
        descent, left = descent_within(task, planned * _DESCENDING, _DESCENTS)
        rounding = rounding_within(task, planned * (1 - _DESCENDING) + left, AdaRound())
        return best_of(task, candidates(task, [method for method in (descent, rounding) if method is not None]), "auto")[0]


def few_rows(task: Task, name: str) -> Task | None:
    """Rounded to nearest, saying so, where there are too few rows to learn from, or they cannot walk (methods/walk.py): even then
    some rows can tell which observer suits."""
    rows = len(task.calibration.samples[0]) if task.calibration.samples else 0
    if rows < LEAST_ROWS:
        why = f"{rows} calibration rows were kept, {LEAST_ROWS} are needed"
    elif (meet := why_not_walked(task.graph, len(task.fit[0]))) != "":
        why = f"methods take many rows, but {meet}"
    else:
        return None
    if rows >= _ROWS_FOR_RANGES:
        task = replace(Ranges()(replace(task, fit=task.calibration.samples)), fit=task.fit)
    return task.with_choice(task.choice, Step(name, f"nearest: {why}"))


def candidates(task: Task, rounding: Sequence[Method]) -> list[Method]:
    """What may pay for this configuration, cheap methods first; ``rounding``: what rounds narrow weights."""
    narrow = any(numbers.weights.params.qtype.bits < 8 for numbers in task.choice.layers.values())
    return [Ranges(), *equalizations(task), *(rounding if narrow else ()), BiasCorrection()]


def equalizations(task: Task) -> list[Method]:
    """Of weights; of values, too, where one has few bits, whose dead channels then carry copies of others."""
    bits = [params.qtype.bits for params in task.choice.values.values() if params is not None]
    if min(bits, default=8) > _COARSE:
        return [Equalization()]
    splitting = [ChannelSplitting()] if rows_with_dead_channels(task) else []
    return [Equalization(), ActivationEqualization(), *splitting]


def _error_of_mean(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


def best_of(task: Task, candidates: Sequence[Method], name: str) -> tuple[Task, list[Method]]:
    """(the task after those candidates that each lowered the error, these candidates).

    What rounds anew all that was rounded before has to lower it by more than the standard error of the difference: it fits the
    same rows once more, with more variables than any other candidate."""
    if (done := few_rows(task, name)) is not None:
        return done, []
    began, judge = time.monotonic(), Judge.of(task.graph, task.held)
    first = errors = judge.errors(apply(task.graph, task.choice))
    kept: list[tuple[str, Method]] = []
    for candidate in candidates:
        left = task.seconds_left()
        if left is not None and left <= 0:
            late = Step(name, f"{name_of(candidate)} and what follows left out: the time was over")
            task = replace(task, log=(*task.log, late))
            break
        tried, found = measured(task, candidate, judge, errors)
        line = tried.log[-1]
        again = isinstance(candidate, _ROUNDING) and any(isinstance(method, _ROUNDING) for _, method in kept)
        if (errors - found).mean() > (_error_of_mean(errors - found) if again else 0.0):
            task, errors = tried, found
            kept.append((line.method, candidate))
        else:
            task = replace(task, log=(*task.log, replace(line, what=f"tried and dropped, {line.what}")))
    names = " + ".join(method for method, _ in kept)
    summary = Step(
        name,
        f"{names or 'nearest'} ({judge.what} on {len(task.held[0])} rows)",
        time.monotonic() - began,
        float(first.mean()),
        float(errors.mean()),
    )
    return task.with_choice(task.choice, summary), [candidate for _, candidate in kept]
