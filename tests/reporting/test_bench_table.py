"""The table people read."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from lowbit.reporting.bench_table import COLUMNS, bench_markdown, bench_table

ROW: dict[str, Any] = {
    "config": "8/int8", "mean_ms": 2.5, "median_ms": 2.25, "max_ms": 3.0, "min_ms": 2.0, "std_ms": 0.1, "speedup": 2.0,
    "bytes": 1234567, "exact": True, "cosine": 0.98765, "top1_agreement": 0.875, "dead_channels": 3, "verdict": "",
    "max_error": 0.1,
}  # fmt: skip


def text(*rows: dict[str, Any]) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(bench_table("title", rows))
    return console.export_text()


def test_every_column_is_filled() -> None:
    shown = text(ROW)
    for value in ("8/int8", "2.50", "2.25", "3.00", "2.00", "0.10", "2.00x", "1,234,567", "yes", "0.9877", "88 %"):
        assert value in shown
    assert "!!" not in shown


def test_a_dead_row_is_flagged_below_the_table() -> None:
    shown = text(ROW, {**ROW, "config": "1/int1", "verdict": "DEAD: output does not depend on the input"})
    assert "!! 1/int1: DEAD: output does not depend on the input" in shown


def test_wrong_is_not_yes() -> None:
    assert " NO " in text({**ROW, "exact": False, "verdict": "WRONG: differs from the oracle"})


def test_float_rows_show_their_error_and_peers_do_not() -> None:
    peer = {**ROW, "config": "onnxruntime/fp32", "exact": None, "dead_channels": None}
    shown = text({**ROW, "config": "fp32", "exact": None}, peer)
    assert "fp32: largest difference from the float64 network 1.0e-01" in shown
    assert "onnxruntime/fp32: largest" not in shown


def test_markdown_has_the_same_columns() -> None:
    lines = bench_markdown([ROW, {**ROW, "speedup": None, "verdict": "DEAD: all"}]).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(COLUMNS)
    assert len(lines[1].strip("|").split("|")) == len(COLUMNS)
    assert "| 2.00x |" in lines[2]
    assert "| - |" in lines[3]
    assert lines[-1] == "**8/int8: DEAD: all.**"
