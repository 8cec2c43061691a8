"""The bench table as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lowbit.errors import ToolMissing
from lowbit.files import write_whole

__all__ = ["check_plots", "latency_chart"]


def check_plots() -> None:
    """Raise ToolMissing, before any work, when matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ToolMissing("a report's charts need matplotlib; pip install 'lowbit[report]'")


def latency_chart(title: str, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Median latency (bars, min to max as whiskers) and bytes on disk, one bar a configuration, as PNG.

    Blue: lowbit, grey: peers, red: dead or wrong.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [str(row["config"]) for row in rows]
    medians = [row["median_ms"] for row in rows]
    whiskers = [[row["median_ms"] - row["min_ms"] for row in rows], [row["max_ms"] - row["median_ms"] for row in rows]]
    colors = ["tab:red" if row.get("verdict") else "tab:gray" if row["dead_channels"] is None else "tab:blue" for row in rows]
    figure = Figure(figsize=(11, 0.4 * len(rows) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    time_axes, size_axes = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    bars = time_axes.barh(names, medians, xerr=whiskers, color=colors, ecolor="black", capsize=2)
    time_axes.bar_label(bars, [f" {m:.1f}" for m in medians], padding=4, fontsize=8)
    time_axes.set_xlabel("median ms (whiskers: min, max)")
    time_axes.margins(x=0.12)
    sizes = [row["bytes"] / 1e6 for row in rows]
    size_axes.bar_label(size_axes.barh(names, sizes, color=colors), [f" {s:.1f}" for s in sizes], fontsize=8)
    size_axes.set_xlabel("MB on disk")
    size_axes.margins(x=0.15)
    time_axes.invert_yaxis()
    figure.suptitle(title)
    image = io.BytesIO()
    figure.savefig(image, dpi=120, format=path.suffix[1:])
    write_whole(path, image.getbuffer())
