"""Where text goes: results to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console

__all__ = ["note", "results"]


def results() -> Console:
    """Standard output; tables keep their full width when it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def note(text: str) -> None:
    """One line for the person at the keyboard."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
