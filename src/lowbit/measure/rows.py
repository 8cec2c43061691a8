"""A benchmark as values: one row a configuration, and where and how the rows were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lowbit.measure.latency import Latency
from lowbit.measure.output_check import OutputCheck

__all__ = ["BASELINE", "BenchReport", "BenchRow", "with_speedups"]

BASELINE = "fp32"  # the configuration speed-ups are relative to


@dataclass(frozen=True)
class BenchRow:
    """``bytes``: on disk.  ``speedup``: median of BASELINE / own median; None without a BASELINE row."""

    config: str
    latency: Latency
    bytes: int
    check: OutputCheck
    speedup: float | None = None
    compile_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The stable part of a row; consumers may rely on exactly these keys."""
        return {
            "config": self.config,
            "mean_ms": self.latency.mean_ms,
            "median_ms": self.latency.median_ms,
            "max_ms": self.latency.max_ms,
            "min_ms": self.latency.min_ms,
            "std_ms": self.latency.std_ms,
            "speedup": self.speedup,
            "bytes": self.bytes,
            "exact": self.check.exact,
            "cosine": self.check.cosine,
            "top1_agreement": self.check.top1_agreement,
            "dead_channels": self.check.dead_channels,
        }

    def details(self) -> dict[str, Any]:
        """Everything else that is known about the row."""
        return {
            **self.to_json(),
            "samples_ms": list(self.latency.samples_ms),
            "correlation": self.check.correlation,
            "max_error": self.check.max_error,
            "verdict": self.check.verdict,
            "dead_layers": list(self.check.dead_layers),
            "compile_s": self.compile_s,
        }


@dataclass(frozen=True)
class BenchReport:
    """``notes``: what a reader must know, such as random inputs standing in for calibration data."""

    network: str
    batch: int
    threads: int
    machine: str
    cpu_features: Sequence[str]
    versions: Mapping[str, str]
    commit: str
    rows: Sequence[BenchRow]
    notes: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """``{machine, cpu_features, versions, commit, network, batch, threads, rows: [...]}``."""
        return {**self._header(), "rows": [row.to_json() for row in self.rows]}

    def details(self) -> dict[str, Any]:
        """:meth:`to_json` with every row's details."""
        return {**self._header(), "notes": list(self.notes), "rows": [row.details() for row in self.rows]}

    def _header(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "cpu_features": list(self.cpu_features),
            "versions": dict(self.versions),
            "commit": self.commit,
            "network": self.network,
            "batch": self.batch,
            "threads": self.threads,
        }


def with_speedups(rows: Sequence[BenchRow]) -> tuple[BenchRow, ...]:
    """The rows with ``speedup`` relative to the median of the BASELINE row, if there is one."""
    base = next((row.latency.median_ms for row in rows if row.config == BASELINE), None)
    return tuple(replace(row, speedup=None if base is None else base / row.latency.median_ms) for row in rows)
