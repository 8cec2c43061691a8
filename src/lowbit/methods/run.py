"""Methods one after the other, each with its line in the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lowbit.methods.judge import Judge, integer_outputs
from lowbit.methods.task import Method, Step, Task
from lowbit.quantization import apply

__all__ = ["Chain", "errors_of", "measured", "name_of"]


def errors_of(task: Task, judge: Judge | None) -> np.ndarray | None:
    """Of the task's integer graph, on each row that judges (``Judge.distances``); None without such rows."""
    return None if judge is None else judge.distances(integer_outputs(apply(task.graph, task.choice), judge.samples))


def measured(task: Task, method: Method, judge: Judge | None, before: np.ndarray | None) -> tuple[Task, np.ndarray | None]:
    """(``method(task)``, its errors), with the mean error before and after it in its line of the log."""
    began, done = time.monotonic(), method(task)
    if len(done.log) == len(task.log):
        done = replace(done, log=(*task.log, Step(name_of(method), "nothing to do")))
    seconds, after = time.monotonic() - began, errors_of(done, judge)
    line = replace(done.log[-1], seconds=seconds, before=_mean(before), after=_mean(after))
    return replace(done, log=(*done.log[:-1], line)), after


def _mean(errors: np.ndarray | None) -> float | None:
    return None if errors is None else float(errors.mean())


def name_of(method: Method) -> str:
    """The class of a method, or the name of a function."""
    inner = method.func if isinstance(method, partial) else method
    return getattr(inner, "__name__", type(inner).__name__)


@dataclass(frozen=True)
class Chain:
    """Methods in this order; each gets what the one before gives."""

    methods: tuple[Method, ...]

    def __call__(self, task: Task) -> Task:
        judge = Judge.of(task.graph, task.held) if task.held else None
        errors = errors_of(task, judge)
        for method in self.methods:
            task, errors = measured(task, method, judge, errors)
        return task
