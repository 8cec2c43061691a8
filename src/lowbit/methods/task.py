"""What a method gets and gives back: a float graph, the numbers chosen for it, and how they came about."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lowbit.errors import CalibrationError
from lowbit.graph import Graph
from lowbit.quantization import Calibration, Choice, QuantizationConfig, calibrate, choose

__all__ = ["Method", "Step", "Task", "begin", "split_rows"]

HELD_OUT = 3
"""Every third of the kept rows judges and is not fitted."""


@dataclass(frozen=True)
class Step:
    """One line of a plan's log.  ``before`` and ``after``: the error against the float network on rows that no method fitted
    (methods/judge.py); None where there are none."""

    method: str
    what: str
    seconds: float = 0.0
    before: float | None = None
    after: float | None = None

    def __str__(self) -> str:
        error = "" if self.before is None or self.after is None else f", error {self.before:.4g} -> {self.after:.4g}"
        return f"{self.method}: {self.what}{error}, {self.seconds:.1f} s"


@dataclass(frozen=True)
class Task:
    """``graph``: the canonical float graph that ``choice`` gives numbers to.  ``fit``: rows that methods may fit, one array a
    graph input; ``held``: rows that judge.  ``seconds``: what all methods together may take, until ``deadline`` of
    time.monotonic(); None: what they need.  ``state``: the folder in which unfinished work is kept; None: nowhere.
    ``progress``: whether to show bars; None: on a terminal.

    ``shifted``: the same graph with other biases, where layers are to give something else than the float network does: their
    values half a step up, say (methods/channel_splitting.py).  None: what the float network gives."""

    graph: Graph
    config: QuantizationConfig
    calibration: Calibration
    choice: Choice
    fit: tuple[np.ndarray, ...] = ()
    held: tuple[np.ndarray, ...] = ()
    log: tuple[Step, ...] = ()
    seconds: float | None = None
    deadline: float | None = None
    state: Path | None = None
    progress: bool | None = field(default=None, compare=False)
    shifted: Graph | None = None

    def samples_for(self, method: str) -> tuple[np.ndarray, ...]:
        """The rows to fit.  Raises CalibrationError where none were kept."""
        if not self.fit or not len(self.fit[0]):
            raise CalibrationError(
                f"{self.graph.name}: {method} fits calibration samples, and none were kept: calibrate with keep= above 0, on "
                'inputs whose rows lie along axis 0; or use method="nearest"'
            )
        return self.fit

    def with_choice(self, choice: Choice, *steps: Step) -> Task:
        return replace(self, choice=choice, log=(*self.log, *steps))

    def with_graph(
        self, graph: Graph, rows: Sequence[np.ndarray], *, rounded: Graph | None = None, shifted: Graph | None = None
    ) -> Task:
        """The task of another float graph that computes the same: ranges are observed again on ``rows``, weights rounded to
        nearest, those of ``rounded`` where that is given."""
        seen = calibrate(graph, [tuple(rows)], keep=0)
        choice = choose(graph if rounded is None else rounded, seen, self.config)
        seen = replace(seen, samples=self.calibration.samples)
        return replace(self, graph=graph, shifted=shifted, calibration=seen, choice=choice)

    @property
    def targets(self) -> Graph:
        """The graph whose layers say what each layer is to give for what it reads in the float network."""
        return self.graph if self.shifted is None else self.shifted

    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.deadline is None else self.deadline - time.monotonic()


Method = Callable[[Task], Task]
"""What every method is: a frozen dataclass of its hyper-parameters that can be called, or a function."""


def split_rows(samples: Sequence[np.ndarray]) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """(rows to fit, rows that judge): two thirds and every third; of fewer than three rows all fit and all judge."""
    if not samples or len(samples[0]) < HELD_OUT:
        return tuple(samples), tuple(samples)
    held = np.arange(len(samples[0])) % HELD_OUT == HELD_OUT - 1
    return tuple(value[~held] for value in samples), tuple(value[held] for value in samples)


def begin(
    graph: Graph,
    calibration: Calibration,
    config: QuantizationConfig,
    *,
    seconds: float | None = None,
    state: Path | None = None,
    progress: bool | None = None,
) -> Task:
    """The task whose numbers are those of rounding to nearest.  Raises what :func:`choose` raises."""
    deadline = None if seconds is None else time.monotonic() + seconds
    choice = choose(graph, calibration, config)
    fit, held = split_rows(calibration.samples)
    return Task(graph, config, calibration, choice, fit, held, (), seconds, deadline, state, progress)
