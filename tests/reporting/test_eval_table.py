"""The accuracy table."""

from __future__ import annotations

from rich.console import Console

from lowbit.reporting.eval_table import COLUMNS, eval_html, eval_markdown, eval_table

ROW = {
    "network": "net", "config": "8/int8", "images": 5000, "calibration_images": 500, "top1": 0.923, "top1_error": 0.0038,
    "float_top1": 0.9226, "float_top1_error": 0.0038, "difference": 0.0004, "difference_error": 0.0011, "agreement": 0.9926,
    "top5": None, "top5_error": None, "loss": 0.25, "loss_difference": 0.01, "complete": True, "planned": 5000,
    "dataset": "<images>",
    "notes": ["few & odd"],
    "per_class": [
        {"label": 0, "name": "cat", "count": 30, "top1": 1.0, "reference_top1": 0.5, "confused": None},
        {"label": 1, "name": "", "count": 20, "top1": 0.25, "reference_top1": 0.5, "confused": (0, 12)},
    ],
}  # fmt: skip


def test_shares_are_in_percent_with_their_errors() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(eval_table([ROW]))
    for text in ("5,000", "92.26 ± 0.38", "92.30 ± 0.38", "+0.04 ± 0.11", "99.26", "0.2500 (+0.0100)"):
        assert text in capture.get()
        assert text in eval_markdown([ROW])


def test_markdown_columns() -> None:
    lines = eval_markdown([ROW, ROW]).splitlines()
    assert all(len(line.strip("|").split("|")) == len(COLUMNS) for line in lines[:4])


def test_interrupted_rows_say_so() -> None:
    assert "5,000 of 10000" in eval_markdown([{**ROW, "complete": False, "planned": 10000}])
    assert "5,000 of ?" in eval_markdown([{**ROW, "complete": False, "planned": None}])


def test_the_page_has_every_class_the_worst_first() -> None:
    page = eval_html([ROW])
    assert "&lt;images&gt;" in page
    assert "few &amp; odd" in page
    assert page.index("<td>1</td>") < page.index("<td>0 cat</td>")
    assert "<td>0 (12 times)</td>" in page
    without = [{**c, "reference_top1": None} for c in ROW["per_class"]]  # type: ignore[union-attr]
    assert "<td>-</td><td>100.0</td>" in eval_html([{**ROW, "per_class": without}])
