"""Put the tables of emulated benchmarks into docs/raspberry-pi.md.

lowbit bench resnet50 --target raspberry-pi-4 --configs fp32,8/int8,4/int4,2/int2,1/int1 --json pi4.json
python benchmarks/raspberry_pi.py pi4.json ...
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = _ROOT / "docs" / "raspberry-pi.md"
MARKED = re.compile(r"(<!-- pi:begin -->\n).*?(<!-- pi:end -->)", re.DOTALL)
HEAD = ("config", "bytes on disk", "instructions", "per MAC", "estimate ms", "emulated ms", "exact")


def _row(row: dict[str, Any]) -> str:
    cells = (
        row["config"],
        f"{row['bytes']:,}",
        f"{row['instructions']:,}",
        f"{row['instructions'] / row['macs']:.3f}",
        f"{row['estimated_ms']:.0f}",
        f"{row['emulated']['median_ms']:,.0f}",
        {None: "n/a", True: "yes", False: "NO"}[row["exact"]],
    )
    return f"| {' | '.join(cells)} |"


def table(report: dict[str, Any]) -> str:
    """One report as Markdown; ``report``: what ``lowbit bench --target ... --json`` writes."""
    first = report["rows"][0]
    title = f"**{report['network']}, {report['target']}**, {first['macs']:,} MACs, under {first['where']}:"
    lines = [f"| {' | '.join(HEAD)} |", "| --- |" + " ---: |" * (len(HEAD) - 2) + " --- |", *map(_row, report["rows"])]
    return title + "\n\n" + "\n".join(lines) + "\n"


def updated(text: str, reports: list[dict[str, Any]]) -> str:
    """``text`` with the tables of ``reports`` between its markers.  Raises ValueError without markers."""
    if not MARKED.search(text):
        raise ValueError("the document needs <!-- pi:begin --> and <!-- pi:end -->")
    tables = "\n".join(map(table, reports))
    return MARKED.sub(lambda match: match[1] + tables + match[2], text)


if __name__ == "__main__":
    given = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    DOCUMENT.write_text(updated(DOCUMENT.read_text(), given))
