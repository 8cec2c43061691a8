"""The accuracy table."""

from __future__ import annotations

from rich.console import Console

from lowbit.reporting.eval_table import COLUMNS, eval_markdown, eval_table

ROW = {
    "network": "net", "config": "8/int8", "images": 5000, "calibration_images": 500, "top1": 0.923, "top1_error": 0.0038,
    "float_top1": 0.9226, "float_top1_error": 0.0038, "difference": 0.0004, "difference_error": 0.0011, "agreement": 0.9926,
}  # fmt: skip


def test_shares_are_in_percent_with_their_errors() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(eval_table([ROW]))
    for text in ("5,000", "92.26 ± 0.38", "92.30 ± 0.38", "+0.04 ± 0.11", "99.26"):
        assert text in capture.get()
        assert text in eval_markdown([ROW])


def test_markdown_columns() -> None:
    lines = eval_markdown([ROW, ROW]).splitlines()
    assert all(len(line.strip("|").split("|")) == len(COLUMNS) for line in lines[:4])
