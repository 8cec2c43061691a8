"""Methods one after the other, each with its line in the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np

from lowbit.methods.judge import Judge
from lowbit.methods.task import Method, Step, Task
from lowbit.quantization import apply

__all__ = ["Chain", "measured", "name_of"]


def logged(task: Task, method: Method) -> Task:
    """``method(task)``, with a line in the log and the seconds in it."""
    began, done = time.monotonic(), method(task)
    if len(done.log) == len(task.log):
        done = replace(done, log=(*task.log, Step(name_of(method), "nothing to do")))
    return _with_line(done, replace(done.log[-1], seconds=time.monotonic() - began))


def measured(task: Task, method: Method, judge: Judge, before: np.ndarray) -> tuple[Task, np.ndarray]:
    """(``method(task)``, its errors on each row that judges), with the mean error before and after it in its line of the log."""
    done = logged(task, method)
    after = judge.errors(apply(done.graph, done.choice))
    line = replace(done.log[-1], before=float(before.mean()), after=float(after.mean()))
    return _with_line(done, line), after


def _with_line(task: Task, line: Step) -> Task:
    """Its last line in the log replaced."""
    return replace(task, log=(*task.log[:-1], line))


def name_of(method: Method) -> str:
    """The class of a method, or the name of a function."""
    inner = method.func if isinstance(method, partial) else method
    return getattr(inner, "__name__", type(inner).__name__)


@dataclass(frozen=True)
class Chain:
    """Methods in this order; each gets what the one before gives."""

    methods: tuple[Method, ...]

    def __call__(self, task: Task) -> Task:
        if not task.held:
            return reduce(logged, self.methods, task)
        judge = Judge.of(task.graph, task.held)
        errors = judge.errors(apply(task.graph, task.choice))
        for method in self.methods:
            task, errors = measured(task, method, judge, errors)
        return task
