"""Put measured tables into the README and docs/accuracy.md.

    lowbit eval --config fp32,8/int8,4/int4 --json eval.json
    python benchmarks/update_readme.py benchmarks/results/<machine>.json eval.json

What `make bench` wrote, one image and one thread of every network, goes between ``<!-- bench:begin -->`` and
``<!-- bench:end -->`` of the README; what ``eval --json`` wrote between ``<!-- eval:begin -->`` and ``<!-- eval:end -->`` of
docs/accuracy.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.reporting.eval_table import eval_markdown
from lowbit.reporting.peer_tables import groups_of, summary_table

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {"bench": ROOT / "README.md", "eval": ROOT / "docs" / "accuracy.md"}


def kind_of(figures: Mapping[str, Any]) -> str:
    return "bench" if "parts" in figures else "eval"


def updated(text: str, figures: Mapping[str, Any]) -> str:
    """``text`` with the table of ``figures`` between its markers.  Raises ValueError without them."""
    kind = kind_of(figures)
    begin, end = f"<!-- {kind}:begin -->", f"<!-- {kind}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text needs {begin} and {end}, once each")
    before, rest = text.split(begin)
    body = _groups(figures) if kind == "bench" else eval_markdown(figures["rows"])
    return f"{before}{begin}\n{body}{end}{rest.split(end)[1]}"


def _groups(results: Mapping[str, Any]) -> str:
    parts = [part for part in groups_of(results["parts"]) if part["batch"] == part["threads"] == 1]
    facts = results["machine"]
    return f"One image, one thread, {facts['machine']}; {_tools(facts['versions'])}:\n\n{summary_table(parts)}"


def _tools(versions: Mapping[str, str]) -> str:
    names = ("torch", "apache-tvm", "onnxruntime", "openvino")
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        given = json.loads(Path(path).read_text())
        document = DOCUMENTS[kind_of(given)]
        document.write_text(updated(document.read_text(), given))
