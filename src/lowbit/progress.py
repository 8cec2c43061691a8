"""One progress bar for long work: calibration, compiling, searching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Stage", "notice", "say", "stage"]

_noticed: set[str] = set()


class Stage(Protocol):
    def __call__(self, advance: int = 1, description: str | None = None) -> None:
        """Report finished units of work, and what is being done now."""


@contextmanager
def stage(description: str, total: int | None, show: bool | None = None) -> Iterator[Stage]:
    """A bar on stderr with elapsed and remaining time; ``show`` None: only where stderr is a terminal."""
    if show is None:
        show = sys.stderr.isatty()
    if not show:
        yield lambda advance=1, description=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda advance=1, description=None: progress.update(task, advance=advance, description=description)


def notice(kind: str, text: str, show: bool | None = None) -> None:
    """One line on stderr, the first time a process has one of this ``kind``; ``show`` as for :func:`stage`."""
    if (sys.stderr.isatty() if show is None else show) and kind not in _noticed:
        _noticed.add(kind)
        print(f"note: {text}", file=sys.stderr)


def say(text: str, show: bool | None = None) -> None:
    """One line on stderr; ``show`` as for :func:`stage`."""
    if sys.stderr.isatty() if show is None else show:
        from rich.console import Console

        Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
