"""A benchmark as a folder: Markdown, chart, JSON, and the generated code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lowbit.files import write_whole
from lowbit.measure.rows import BenchReport
from lowbit.reporting.bench_table import EXPLANATION, bench_markdown
from lowbit.reporting.code_folder import folder_name, write_code
from lowbit.reporting.plots import latency_chart

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["write_report"]


def write_report(report: BenchReport, networks: Mapping[str, Compiled], folder: Path) -> None:
    """``README.md``, ``bench.json`` (the stable schema), ``details.json`` (every sample), ``latency.png``, ``code/``."""
    folder.mkdir(parents=True, exist_ok=True)
    details = report.details()
    write_whole(folder / "bench.json", json.dumps(report.to_json(), indent=1), "\n")
    write_whole(folder / "details.json", json.dumps(details, indent=1), "\n")
    title = f"{report.network}, batch {report.batch}, {report.threads} threads"
    latency_chart(title, details["rows"], folder / "latency.png")
    write_code(networks, folder / "code")
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    code = ", ".join(f"[{config}](code/{folder_name(config)}/INDEX.md)" for config in networks)
    text = f"""# {title}

{bench_markdown(details["rows"])}
![median latency and size of each configuration](latency.png)

## How to read it

{EXPLANATION}
{"".join(f"- {note}.{chr(10)}" for note in report.notes)}
## Where it was measured

- machine: {report.machine}
- CPU features: {" ".join(report.cpu_features)}
- versions: {versions}
- commit: {report.commit or "not a checkout"}

## Generated code

{code}
"""
    write_whole(folder / "README.md", text)
