"""Put measured tables into the README.

    lowbit bench resnet50 --report report
    lowbit eval --config fp32,8/int8,4/int4 --json eval.json
    python benchmarks/update_readme.py report/bench.json eval.json

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

README = Path(__file__).resolve().parents[1] / "README.md"


def updated(text: str, figures: Mapping[str, Any]) -> str:
    """``text`` with the table of ``figures`` (what ``bench --json`` or ``eval --json`` wrote) between its
    markers.  Raises ValueError without them."""
    kind = "bench" if "network" in figures else "eval"
    begin, end = f"<!-- {kind}:begin -->", f"<!-- {kind}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text needs {begin} and {end}, once each")
    before, rest = text.split(begin)
    body = _bench(figures) if kind == "bench" else eval_markdown(figures["rows"])
    return f"{before}{begin}\n{body}{end}{rest.split(end)[1]}"


def _bench(report: Mapping[str, Any]) -> str:
    versions = report["versions"]
    where = f"{report['network']}, batch {report['batch']}, {report['threads']} threads, {report['machine']}"
    tools = ", ".join(f"{name} {versions[name]}" for name in ("torch", "apache-tvm", "onnxruntime") if name in versions)
    return f"{where}; {tools}.\n\n{bench_markdown(report['rows'])}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        README.write_text(updated(README.read_text(), json.loads(Path(path).read_text())))
