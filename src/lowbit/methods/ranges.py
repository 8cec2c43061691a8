"""The observer that suits a network: which ranges of values cost its outputs least.

How much of a tail to cut off cannot be told from a value alone: outliers are what some networks live by, and noise in others.
Among the usual observers (Nagel et al.: A White Paper on Neural Network Quantization, 2021, section 3.2), the network's
outputs decide.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from lowbit.methods.judge import Judge
from lowbit.methods.task import Step, Task
from lowbit.methods.work import RATE, multiplications
from lowbit.progress import stage
from lowbit.quantization import Choice, apply, choose

__all__ = ["Ranges"]

_SECONDS = 10.0
_LEAST_ROWS = 8


@dataclass(frozen=True)
class Ranges:
    """Of the configuration's observer and these, (name, percentile), the one with which the outputs are nearest to the float
    network's, on at most ``rows`` of the rows that may be fitted; another one than the configuration's only if both the mean
    error of the rows and their errors' geometric mean are at most ``gain`` times as large.  (The mean alone is often that of one
    row.)  All numbers are chosen anew, rounded to nearest, so this comes first of several methods.

    A configuration that names its observer, or whose scales follow from no range, keeps it."""

    observers: tuple[tuple[str, float], ...] = (
        ("mse", 99.99),
        ("percentile", 99.99),
        ("percentile", 99.9),
        ("moving_average", 99.99),
    )
    rows: int = 128
    gain: float = 0.8

    def __call__(self, task: Task) -> Task:
        given = task.config
        if given.observer != "auto" or given.scale.dictated(8) is not None:
            return task.with_choice(task.choice, Step("ranges", "those of the configuration"))
        began, samples = time.monotonic(), task.samples_for("ranges")
        tries = len(self.observers) + 1
        room = int(_SECONDS * RATE / (tries * max(multiplications(task.graph), 1)))
        rows = min(self.rows, max(room, _LEAST_ROWS), len(samples[0]))
        judge = Judge.of(task.graph, [value[:rows] for value in samples])
        choice, config = choose(task.graph, task.calibration, given), given
        first, least = _errors(judge, task, choice), self.gain
        with stage("ranges", len(self.observers), task.progress) as advance:
            for name, share in self.observers:
                other = replace(given, observer=name, percentile=share)
                found = choose(task.graph, task.calibration, other)
                errors = _errors(judge, task, found)
                typical = float(np.exp(np.log(errors / first).mean()))
                if errors.mean() <= self.gain * first.mean() and typical <= least:
                    choice, config, least = found, other, typical
                advance(1, f"ranges {name}")
        what = config.observer + (f" {config.percentile:g} %" if config.observer == "percentile" else "")
        step = Step("ranges", f"{what}, of {tries} observers, on {rows} rows", time.monotonic() - began)
        return replace(task.with_choice(choice, step), config=config)


def _errors(judge: Judge, task: Task, choice: Choice) -> np.ndarray:
    """Of each row, above 0."""
    found = judge.errors(apply(task.graph, choice))
    return np.maximum(found, 1e-12 * found.mean() + 1e-30)
