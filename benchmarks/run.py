"""`make bench`: the demo's table beside other runtimes, for several thread counts.

    python benchmarks/run.py [--network resnet50] [--threads 1,2] [--peers onnxruntime,openvino] [--runs 30]

Writes benchmarks/results/<machine>.json (one report a thread count, with every sample) and docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowbit.bench import BenchPlan, run_bench
from lowbit.cli.bench import ALL
from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.errors import LowbitError
from lowbit.reporting.bench_table import EXPLANATION, bench_markdown, bench_table

ROOT = Path(__file__).resolve().parents[1]

# what a narrower type owes: (text, configuration, it must take at most this many times as long as, configuration)
GOALS = (
    ("float32 within 1.3x of onnxruntime", "fp32", 1.3, "onnxruntime/fp32"),
    ("int8 within 1.3x of onnxruntime", "8/int8", 1.3, "onnxruntime/int8"),
    ("int8 at least 1.5x faster than float32", "8/int8", 1 / 1.5, "fp32"),
    ("4 bits no slower than 8 (3 % is noise)", "4/int4", 1.03, "8/int8"),
    ("2 bits no slower than 4 (3 % is noise)", "2/int2", 1.03, "4/int4"),
    ("1 bit no slower than 2 (3 % is noise)", "1/int1", 1.03, "2/int2"),
    ("1 bit at least 3x faster than float32", "1/int1", 1 / 3, "fp32"),
)


def judge(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(goal, measured ratio of medians, allowed ratio) of every goal whose two configurations were measured."""
    median = {row["config"]: row["median_ms"] for row in rows}
    return [
        (text, median[config] / median[other], bound)
        for text, config, bound, other in GOALS
        if config in median and other in median
    ]


def document(reports: Sequence[Mapping[str, Any]]) -> str:
    """docs/benchmarks.md from the details of reports that differ in their threads only."""
    first = reports[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    parts = [
        "# Benchmarks\n\nWritten by `make bench`; do not edit by hand.\n",
        f"- machine: {first['machine']}\n- versions: {versions}\n- commit: {first['commit'] or 'not a checkout'}\n",
    ]
    for report in reports:
        title = f"## {report['network']}, batch {report['batch']}, {report['threads']} threads"
        parts.append(f"{title}\n\n{bench_markdown(report['rows'])}")
        goals = judge(report["rows"])
        if goals:
            lines = ["| goal | time ratio | at most | met |", "| --- | ---: | ---: | --- |"]
            for text, ratio, bound in goals:
                lines.append(f"| {text} | {ratio:.2f} | {bound:.2f} | {'yes' if ratio <= bound else 'no'} |")
            parts.append("\n".join(lines) + "\n")
    parts.append(f"## How to read it\n\n{EXPLANATION}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--configs", default=ALL)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default="onnxruntime,openvino")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    peers = tuple(filter(None, options.peers.split(",")))
    plans = [
        BenchPlan(options.network, tuple(options.configs.split(",")), int(threads), options.runs, options.batch, peers)
        for threads in options.threads.split(",")
    ]
    reports = []
    for plan in plans:
        with notes_for_warnings():
            report, _ = run_bench(plan, note)
        reports.append(report.details())
        results().print(bench_table(f"{plan.network}, batch {plan.batch}, {plan.threads} threads", reports[-1]["rows"]))
        for text, ratio, bound in judge(reports[-1]["rows"]):
            results().print(f"{'met   ' if ratio <= bound else 'MISSED'} {text}: {ratio:.2f} of at most {bound:.2f}")
    name = re.sub(r"[^a-z0-9]+", "-", reports[0]["machine"].split(", Linux")[0].lower()).strip("-")
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"reports": reports}, indent=1) + "\n")
    (ROOT / "docs" / "benchmarks.md").write_text(document(reports))


if __name__ == "__main__":
    try:
        main()
    except LowbitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
