"""What was reached: counts of (kind of case, operation, rank, axis, form, width)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["COLUMNS", "Coverage", "axis_kind"]

COLUMNS = ("kind", "operation", "rank", "axis", "form", "width")
Cell = tuple[str, str, str, str, str, str]


def axis_kind(arguments: Iterable[object]) -> str:
    """``none``, ``front`` (counted from 0), ``back`` (from -1), or ``list`` of what an operation was given as its axes."""
    found = list(arguments)
    if not found:
        return "none"
    if any(isinstance(axis, list | tuple) for axis in found):
        return "list"
    return "back" if any(isinstance(axis, int) and axis < 0 for axis in found) else "front"


class Coverage:
    """A counter that adds up over processes and runs: ``rows`` is plain data."""

    def __init__(self, rows: Iterable[Iterable[object]] = ()) -> None:
        self.cells: Counter[Cell] = Counter()
        self.add(rows)

    def add(self, rows: Iterable[Iterable[object]]) -> None:
        for row in rows:
            *cell, count = row
            self.cells[tuple(map(str, cell))] += int(str(count))  # type: ignore[index]

    def reach(self, kind: str, operation: str, rank: object = "", axis: str = "none", form: str = "", width: str = "") -> None:
        self.cells[(kind, operation, str(rank), axis, form, width)] += 1

    @property
    def rows(self) -> list[list[object]]:
        return [[*cell, count] for cell, count in sorted(self.cells.items())]

    def counts(self, kind: str, *columns: str) -> Counter[tuple[str, ...]]:
        """Cases of ``kind`` by these columns."""
        places = [COLUMNS.index(column) for column in columns]
        found: Counter[tuple[str, ...]] = Counter()
        for cell, count in self.cells.items():
            if cell[0] == kind:
                found[tuple(cell[place] for place in places)] += count
        return found
