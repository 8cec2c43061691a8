"""The JSON others read."""

from __future__ import annotations

import json

from lowbit.measure.latency import Latency
from lowbit.measure.output_check import OutputCheck
from lowbit.measure.rows import BenchReport, BenchRow, with_speedups

CHECK = OutputCheck(exact=True, max_error=0.1, cosine=0.9, correlation=0.8, top1_agreement=1.0, dead_channels=3)
ROW_KEYS = [
    "config", "mean_ms", "median_ms", "max_ms", "min_ms", "std_ms", "speedup", "bytes", "exact", "cosine", "top1_agreement",
    "dead_channels",
]  # fmt: skip


def row(config: str, *ms: float) -> BenchRow:
    return BenchRow(config, Latency(ms), 1000, CHECK)


def test_schema() -> None:
    report = BenchReport("net", 1, 2, "cpu", ["avx2"], {"lowbit": "1"}, "abc", [row("fp32", 1.0)], ["note"])
    data = json.loads(json.dumps(report.to_json()))
    assert list(data) == ["machine", "cpu_features", "versions", "commit", "network", "batch", "threads", "rows"]
    assert list(data["rows"][0]) == ROW_KEYS
    details = json.loads(json.dumps(report.details()))
    assert details["rows"][0]["samples_ms"] == [1.0]
    assert details["notes"] == ["note"]


def test_speedup_is_by_median_over_float() -> None:
    rows = with_speedups([row("8/int8", 2.0, 2.0, 50.0), row("fp32", 8.0, 4.0, 8.0), row("onnxruntime/int8", 4.0)])
    assert [r.speedup for r in rows] == [4.0, 1.0, 2.0]


def test_no_speedup_without_float() -> None:
    assert with_speedups([row("8/int8", 2.0), row("onnxruntime/fp32", 2.0)])[0].speedup is None
