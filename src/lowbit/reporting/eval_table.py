"""Accuracy on real images as a table: for the terminal, as Markdown and as a page, from one list of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from rich import box
from rich.table import Table

__all__ = ["COLUMNS", "eval_html", "eval_markdown", "eval_table"]

Row = Mapping[str, Any]


def _percent(row: Row, name: str) -> str:
    if row[name] is None:
        return "-"
    return f"{100 * row[name]:.2f} ± {100 * row[f'{name}_error']:.2f}"


# heading -> text of a row of EvaluationReport.to_json() with its configuration; shares in percent, +- one standard error
COLUMNS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: str(row["network"]),
    "config": lambda row: str(row["config"]),
    "images": lambda row: f"{row['images']:,}" + ("" if row.get("complete", True) else f" of {row['planned'] or '?'}"),
    "float top-1": lambda row: _percent(row, "float_top1"),
    "compiled top-1": lambda row: _percent(row, "top1"),
    "difference": lambda row: f"{100 * row['difference']:+.2f} ± {100 * row['difference_error']:.2f}",
    "agreement": lambda row: f"{100 * row['agreement']:.2f}",
    "top-5": lambda row: _percent(row, "top5"),
    "loss": lambda row: f"{row['loss']:.4f} ({row['loss_difference']:+.4f})",
}
_LEFT = ("network", "config")
_CAPTION = "in %, ± one standard error; loss in nats, its difference from float beside it"


def eval_table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    table = Table(title=_CAPTION, box=box.SIMPLE_HEAD)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(text(row) for text in COLUMNS.values()))
    return table


def eval_markdown(rows: Sequence[Row]) -> str:
    """The same columns in Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" if h in _LEFT else "---:" for h in COLUMNS) + " |"]
    lines += ["| " + " | ".join(text(row) for text in COLUMNS.values()) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{_CAPTION[:1].upper()}{_CAPTION[1:]}.\n"


_CLASS_COLUMNS = ("class", "images", "float top-1", "compiled top-1", "most confused with")
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.3em .7em;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}"
)


def eval_html(rows: Sequence[Row]) -> str:
    """One page without scripts or links: the table, what looked wrong, and for each row its classes, the worst first."""
    body = [
        f"<h1>Accuracy</h1><p>{escape(_CAPTION)}</p>",
        _html_table(list(COLUMNS), [[t(r) for t in COLUMNS.values()] for r in rows]),
    ]
    for row in rows:
        body.append(f"<h2>{escape(row['network'])}, {escape(row['config'])}</h2><p>{escape(row['dataset'])}</p>")
        body += [f"<p><b>note:</b> {escape(text)}</p>" for text in row["notes"]]
        classes = sorted(row["per_class"], key=lambda c: c["top1"] - (c["reference_top1"] or 0))
        body.append(
            _html_table(["class", "images", "float top-1", "compiled top-1", "most confused with"], [_class(c) for c in classes])
        )
    return f'<!doctype html><meta charset="utf-8"><title>Accuracy</title><style>{_STYLE}</style>' + "\n".join(body) + "\n"


def _class(c: Mapping[str, Any]) -> list[str]:
    confused = "-" if c["confused"] is None else f"{c['confused'][0]} ({c['confused'][1]} times)"
    reference = "-" if c["reference_top1"] is None else f"{100 * c['reference_top1']:.1f}"
    return [f"{c['label']} {c['name']}".strip(), f"{c['count']:,}", reference, f"{100 * c['top1']:.1f}", confused]


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    lines = ["<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows]
    return f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "</table>"
