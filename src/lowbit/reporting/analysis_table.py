"""An analysis as a table, the most sensitive layer first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from lowbit.analysis.report import AnalysisReport

__all__ = ["analysis_table", "analysis_words"]


def _decibels(snr: float | None) -> str:
    return "exact" if snr is None else f"{snr:.1f}"


def analysis_table(report: AnalysisReport) -> Table:
    """Signal to noise of the outputs in dB, one layer rounded at a time, and what its weights lose to clipping."""
    table = Table(title=f"{report.network}: outputs' signal to noise in dB, one layer at a time in so many bits")
    table.add_column("rank", justify="right")
    table.add_column("layer", overflow="fold")
    table.add_column("parameters", justify="right")
    for bits in report.bits:
        table.add_column(str(bits), justify="right")
    table.add_column(f"output in {report.config}", justify="right")
    table.add_column("dead", justify="right")
    for layer in report.ranking:
        alone = [_decibels(layer.alone[bits].snr) if bits in layer.alone else "-" for bits in report.bits]
        table.add_row(
            str(layer.rank),
            layer.name,
            f"{layer.parameters:,}",
            *alone,
            _decibels(layer.snr),
            f"{layer.dead[1]}/{layer.channels}",
        )
    return table


def analysis_words(report: AnalysisReport) -> Iterator[str]:
    """What the table does not say."""
    compiled = report.compiled
    text = f"{report.config} on {report.rows} rows: outputs at {_decibels(compiled.snr)} dB, "
    text += f"{compiled.agreement:.2%} same predictions"
    if report.float_top1 is not None and compiled.top1 is not None:
        text += f", top-1 {report.float_top1:.2%} in float, {100 * compiled.top1:+.2f} points compiled"
    yield text
    yield "the compiled kernels gave " + (
        "exactly these tensors' outputs" if report.equal else "OTHER outputs than these tensors: a fault"
    )
    if report.begins is not None:
        yield f"most noise is added by {report.begins.name} ({report.begins.op}), at {_decibels(report.begins.snr)} dB"
    yield from report.notes
