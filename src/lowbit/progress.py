"""One progress bar for long work: calibration, compiling, searching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Stage", "stage"]


class Stage(Protocol):
    def __call__(self, advance: int = 1) -> None:
        """Report finished units of work."""


@contextmanager
def stage(description: str, total: int | None, show: bool | None = None) -> Iterator[Stage]:
    """A bar on stderr with elapsed and remaining time; ``show`` None: only where stderr is a terminal."""
    if show is None:
        show = sys.stderr.isatty()
    if not show:
        yield lambda advance=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda advance=1: progress.advance(task, advance)
