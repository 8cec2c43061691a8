"""Methods one after the other, each with its line in the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from lowbit.methods.judge import Judge
from lowbit.methods.task import Method, Step, Task
from lowbit.quantization import apply

__all__ = ["Chain", "error_of", "measured", "name_of"]


def error_of(task: Task, judge: Judge | None) -> float | None:
    """Of the task's integer graph; None without rows that judge."""
    return None if judge is None else judge.error(apply(task.graph, task.choice))


def measured(task: Task, method: Method, judge: Judge | None, before: float | None) -> Task:
    """``method(task)``, with the error before and after it in its line of the log."""
    began, done = time.monotonic(), method(task)
    if len(done.log) == len(task.log):
        done = replace(done, log=(*task.log, Step(name_of(method), "nothing to do")))
    line = replace(done.log[-1], seconds=time.monotonic() - began, before=before, after=error_of(done, judge))
    return replace(done, log=(*done.log[:-1], line))


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
        error = error_of(task, judge)
        for method in self.methods:
            task = measured(task, method, judge, error)
            error = task.log[-1].after
        return task
