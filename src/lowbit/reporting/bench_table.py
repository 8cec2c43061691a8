"""A BenchReport as a table: for the terminal and as Markdown, from one list of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

__all__ = ["COLUMNS", "EXPLANATION", "bench_markdown", "bench_table", "float_errors", "verdicts"]

Row = Mapping[str, Any]


def _number(key: str, digits: int) -> Callable[[Row], str]:
    return lambda row: "-" if row[key] is None else f"{row[key]:,.{digits}f}"


def _exact(row: Row) -> str:
    return "n/a" if row["exact"] is None else "yes" if row["exact"] else "NO"


def _speedup(row: Row) -> str:
    return "-" if row["speedup"] is None else f"{row['speedup']:.2f}x"


def _share(key: str) -> Callable[[Row], str]:
    return lambda row: f"{100 * row[key]:.0f} %"


# heading -> text of a row (a row as BenchRow.details() gives it; the JSON's rows do too)
COLUMNS: dict[str, Callable[[Row], str]] = {
    "config": lambda row: str(row["config"]),
    "mean ms": _number("mean_ms", 2),
    "median ms": _number("median_ms", 2),
    "max ms": _number("max_ms", 2),
    "min ms": _number("min_ms", 2),
    "std ms": _number("std_ms", 2),
    "speed-up": _speedup,
    "bytes on disk": _number("bytes", 0),
    "exact": _exact,
    "cosine": _number("cosine", 4),
    "top-1 agreement": _share("top1_agreement"),
    "dead channels": _number("dead_channels", 0),
}

EXPLANATION = """\
- **config**: bits of weights and activations / the type weights are stored in. `4/int8` keeps 4-bit values in bytes,
  `4/int4` packs them; `w4a8` has 4-bit weights and 8-bit activations. The first convolution and the last linear layer
  stay at 8 bits unless asked otherwise.
- **mean ... std**: wall-clock time of one run of the whole network, in ms; all rows were taken in turns.
- **speed-up**: median of `fp32` divided by the row's median.
- **bytes on disk**: the whole artifact: weights, code, manifest.
- **exact**: whether every output integer equals that of the reference interpreter. Float has no single right answer:
  its largest difference from the float64 network stands below the table.
- **cosine**, **top-1 agreement**: outputs beside those of the float network on the same inputs.
- **dead channels**: output channels of convolutions and linear layers that hold one value whatever the input. A network
  that is dead runs fast and computes nothing; such a row is marked.
"""


def bench_table(title: str, rows: Sequence[Row]) -> Table:
    """For the terminal.  A row with a verdict (dead, wrong) is red, and the verdict stands below the table."""
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left", caption_style="")
    for heading in COLUMNS:
        table.add_column(heading.replace(" ", "\n"), justify="left" if heading in ("config", "exact") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(text(row) for text in COLUMNS.values()), style="bold red" if row.get("verdict") else None)
    table.caption = Text("\n").join([*map(Text, float_errors(rows)), *(Text(f"!! {v}", "bold red") for v in verdicts(rows))])
    return table


def verdicts(rows: Sequence[Row]) -> list[str]:
    """One line for each row that is dead or wrong."""
    return [f"{row['config']}: {row['verdict']}" for row in rows if row.get("verdict")]


def float_errors(rows: Sequence[Row]) -> list[str]:
    """What stands for "exact" where arithmetic is float: the largest difference from the float64 network."""
    return [
        f"{row['config']}: largest difference from the float64 network {row['max_error']:.1e}"
        for row in rows
        if row["exact"] is None and row["dead_channels"] is not None and row.get("max_error") is not None
    ]


def bench_markdown(rows: Sequence[Row]) -> str:
    """The same columns as a Markdown table; verdicts follow as bold lines."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " + "| ---: " * (len(COLUMNS) - 1) + "|"]
    lines += ["| " + " | ".join(text(row) for text in COLUMNS.values()) + " |" for row in rows]
    lines += [f"\n{text}." for text in float_errors(rows)] + [f"\n**{text}.**" for text in verdicts(rows)]
    return "\n".join(lines) + "\n"
