"""Put measured tables into the README.

    lowbit bench resnet50 --report report
    lowbit eval --config fp32,8/int8,4/int4 --json eval.json
    python benchmarks/update_readme.py report/bench.json eval.json

or, from what `make bench` wrote, all its networks beside other runtimes:

    python benchmarks/update_readme.py benchmarks/results/<machine>.json

replaces what stands between ``<!-- bench:begin -->`` and ``<!-- bench:end -->``, and the same for ``eval``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.reporting.bench_table import bench_markdown
from lowbit.reporting.eval_table import eval_markdown
from lowbit.reporting.peer_tables import group_table, groups_of, summary_table

README = Path(__file__).resolve().parents[1] / "README.md"


def updated(text: str, figures: Mapping[str, Any]) -> str:
    """``text`` with the table of ``figures`` (what ``bench --json``, ``make bench`` or ``eval --json`` wrote) between its
    markers.  Raises ValueError without them."""
    kind = "bench" if "network" in figures or "parts" in figures else "eval"
    begin, end = f"<!-- {kind}:begin -->", f"<!-- {kind}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text needs {begin} and {end}, once each")
    before, rest = text.split(begin)
    if kind == "eval":
        body = eval_markdown(figures["rows"])
    else:
        body = _groups(figures) if "parts" in figures else _bench(figures)
    return f"{before}{begin}\n{body}{end}{rest.split(end)[1]}"


def _bench(report: Mapping[str, Any]) -> str:
    where = f"{report['network']}, batch {report['batch']}, {report['threads']} threads, {report['machine']}"
    return f"{where}; {_tools(report['versions'])}.\n\n{bench_markdown(report['rows'])}"


def _groups(results: Mapping[str, Any]) -> str:
    """The largest network, one image, one thread, in full, and one line of every group."""
    parts = groups_of(results["parts"])
    first, facts = parts[0], results["machine"]
    where = f"{first['network']}, batch {first['batch']}, {first['threads']} thread, {facts['machine']}"
    every = "All networks, in ms and, in brackets, times as fast as the fastest other runtime:"
    return f"{where}; {_tools(facts['versions'])}.\n\n{group_table(first)}\n{every}\n\n{summary_table(parts)}"


def _tools(versions: Mapping[str, str]) -> str:
    names = ("torch", "apache-tvm", "onnxruntime", "openvino")
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        README.write_text(updated(README.read_text(), json.loads(Path(path).read_text())))
