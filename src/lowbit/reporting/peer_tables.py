"""Measured groups (see `benchmarks/groups.py`) as Markdown tables of ratios to other runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowbit.measure.load import is_busy
from lowbit.reporting.ratios import checked, fastest_peer, ratios

__all__ = ["Part", "busy_text", "group_table", "groups_of", "markdown_table", "summary_table"]

Row = Mapping[str, Any]
Part = Mapping[str, Any]
"""network, batch, threads, macs, what ``measure.load`` found, and rows as ``BenchRow.details()`` with ``runtime``,
``note`` and ``relative_error``."""


def groups_of(parts: Mapping[str, Part]) -> list[Part]:
    """Those of the parts that are groups, by their keys ("net batch 1 threads 2"): the largest network first."""
    found = [part for key, part in parts.items() if " batch " in key]
    return sorted(found, key=lambda part: (-part["macs"] / part["batch"], part["network"], part["batch"], part["threads"]))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The first ``left`` columns are text, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(columns) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, rule, *rows)) + "\n"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def group_table(part: Part) -> str:
    """One group: the table, and below it what a reader must know."""
    rows: Sequence[Row] = part["rows"]
    found = ratios(rows)
    lines = [
        [
            row["config"], f"{row['median_ms']:.2f}", _times(found[row["config"]].of_peer), _times(found[row["config"]].of_float),
            f"{part['macs'] / row['median_ms'] / 1e6:,.0f}", checked(row), f"{row['bytes'] / 1e6:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    text = markdown_table(("config", "ms", "x peer", "x fp32", "GMAC/s", "check", "MB"), lines)
    fastest = [(kind, fastest_peer(rows, kind == "fp32")) for kind in ("fp32", "int8")]
    below = [f"fastest other {kind}: {row['config']}, {row['median_ms']:.2f} ms" for kind, row in fastest if row]
    notes = [f"{' and '.join(own)}: {note}" for note, own in _by_note(rows).items()]
    verdicts = [f"**{row['config']}: {row['verdict']}.**" for row in rows if row.get("verdict")]
    busy = [f"**{busy_text(part)}**"] if is_busy(part) else []
    told = [*busy, "; ".join(below) + "." if below else "", "; ".join(notes) + "." if notes else "", *verdicts]
    return text + "".join(f"\n{line}\n" for line in told if line)


def _by_note(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What was done to a network -> the rows it was done for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("note"):
            found.setdefault(row["note"], []).append(row["config"])
    return found


def busy_text(part: Part) -> str:
    """Why the figures are in doubt."""
    others, average = part["other_cores"], part["load_before"]
    what = f"load average {average:.1f} before" if others is None else f"other work took {others:.2f} cores meanwhile"
    return f"The machine was busy: {what}. These times are too long, and not all by as much."


# column of the summary -> configurations that may stand in it
_WIDTHS = {
    "fp32": ("fp32",),
    "8 bits": ("8/int8", "w8a8"),
    "4 bits": ("4/int4", "w4a4"),
    "2 bits": ("2/int2",),
    "1 bit": ("1/int1",),
}


def summary_table(parts: Sequence[Part]) -> str:
    """One line a group: times of each width, with how many times as fast as the fastest other runtime."""
    lines = []
    for part in parts:
        rows = {row["config"]: row for row in part["rows"]}
        found = ratios(part["rows"])
        cells = []
        for configs in _WIDTHS.values():
            config = next((config for config in configs if config in rows), None)
            cells.append("-" if config is None else f"{rows[config]['median_ms']:.2f} ({_times(found[config].of_peer)})")
        peers = [fastest_peer(part["rows"], floating) for floating in (True, False)]
        cells += ["-" if row is None else f"{row['median_ms']:.2f}" for row in peers]
        busy = " (busy)" if is_busy(part) else ""
        lines.append([f"{part['network']}{busy}", str(part["batch"]), str(part["threads"]), *cells])
    return markdown_table(("network", "batch", "threads", *_WIDTHS, "best other fp32", "best other int8"), lines)
