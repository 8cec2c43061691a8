"""Accuracy on real images as a table: for the terminal and as Markdown, from one list of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

__all__ = ["COLUMNS", "eval_markdown", "eval_table"]

Row = Mapping[str, Any]

# heading -> text of a row of EvalRow.to_json(); shares in percent, +- one standard error
COLUMNS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: str(row["network"]),
    "config": lambda row: str(row["config"]),
    "images": lambda row: f"{row['images']:,}",
    "float top-1": lambda row: f"{100 * row['float_top1']:.2f} ± {100 * row['float_top1_error']:.2f}",
    "compiled top-1": lambda row: f"{100 * row['top1']:.2f} ± {100 * row['top1_error']:.2f}",
    "difference": lambda row: f"{100 * row['difference']:+.2f} ± {100 * row['difference_error']:.2f}",
    "agreement": lambda row: f"{100 * row['agreement']:.2f}",
}
_LEFT = ("network", "config")


def eval_table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    table = Table(title="in %, ± one standard error", box=box.SIMPLE_HEAD)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(text(row) for text in COLUMNS.values()))
    return table


def eval_markdown(rows: Sequence[Row]) -> str:
    """The same columns in Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" if h in _LEFT else "---:" for h in COLUMNS) + " |"]
    lines += ["| " + " | ".join(text(row) for text in COLUMNS.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n\nIn %, ± one standard error.\n"
