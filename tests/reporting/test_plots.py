"""Charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowbit.errors import ToolMissing
from lowbit.reporting import plots
from tests.reporting.test_bench_table import ROW


def test_chart_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    rows = [ROW, {**ROW, "config": "1/int1", "verdict": "DEAD"}, {**ROW, "config": "onnxruntime/int8", "dead_channels": None}]
    plots.latency_chart("title", rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_missing_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'lowbit\[report\]'"):
        plots.check_plots()
