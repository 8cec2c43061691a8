"""A search, and a comparison of strategies, as pictures."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from lowbit.errors import ConfigError, ToolMissing
from lowbit.files import write_whole
from lowbit.searching.show.figures import plain
from lowbit.searching.show.progress import progress
from lowbit.searching.show.series import Comparison, direction, length, measures, optimum, values
from lowbit.searching.show.shapes import (
    Result,
    axes,
    better,
    bits,
    complete,
    feasible,
    front,
    layer_names,
    metric,
    single,
    trial_of,
)

__all__ = ["check_pictures", "save_comparison_picture", "save_picture"]

_ENDINGS = (".png", ".svg", ".pdf")


def check_pictures(path: str | os.PathLike[str]) -> str:
    """The format of ``path``.  Raises, before any work, ToolMissing without matplotlib and ConfigError for another ending."""
    if find_spec("matplotlib") is None:
        raise ToolMissing("pictures of a search need matplotlib; pip install 'lowbit[report]'")
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ConfigError(f"cannot draw {os.fspath(path)}: its name must end with {', '.join(_ENDINGS)}")
    return ending[1:]


def save_picture(result: Result, path: str | os.PathLike[str], what: str = "front", trial: int | None = None) -> None:
    """One view as PNG, SVG or PDF, by the ending of ``path``.

    ``what``: "front" (the first two objectives, one standard error as bars, uniform networks as diamonds), "hypervolume" (or the
    best value) against trials, or "plan" (bits of every layer of ``trial``, else of the best one).  Raises ConfigError for
    another ``what``, an unknown trial, or nothing to draw; ToolMissing without matplotlib."""
    if what not in _DRAWN:
        raise ConfigError(f"cannot draw {what!r}; there are {', '.join(_DRAWN)}")
    form = check_pictures(path)
    _save(lambda figure: _DRAWN[what](figure, result, trial), path, form, 4.2 if what == "plan" else 5.0)


def save_comparison_picture(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Median over seeds against trials with a band from the worst to the best seed, one plot a measure, the optimum as a line.
    Raises ConfigError where no strategy has finished a trial."""
    form = check_pictures(path)
    used = measures(comparison)
    if not used:
        raise ConfigError("cannot draw the comparison: no strategy has finished a trial")

    def draw(figure: Any) -> None:
        for axis, measure in zip(figure.subplots(1, len(used), squeeze=False)[0], used, strict=True):
            _strategies(axis, comparison, measure)
        figure.suptitle(_safe(f"{comparison['network']}: strategies, median and range over {len(comparison['seeds'])} seeds"))

    _save(draw, path, form, 5.0)


def _strategies(axis: Any, comparison: Comparison, measure: str) -> None:
    for name in comparison["strategies"]:
        rows = [(n, found) for n in range(1, length(comparison, measure) + 1) if (found := values(comparison, name, measure, n))]
        known = [(n, found) for n, found in rows if all(map(math.isfinite, found))]
        (line,) = axis.plot([n for n, _ in known], [median(found) for _, found in known], label=_safe(name))
        low, high = [min(found) for _, found in known], [max(found) for _, found in known]
        axis.fill_between([n for n, _ in known], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    if (best := optimum(comparison, measure)) is not None:
        axis.axhline(best, color="black", linestyle="--", linewidth=1, label="optimum")
    axis.set_xlabel("trials")
    axis.set_ylabel(f"{measure} ({'more' if direction(comparison, measure) == 'maximize' else 'less'} is better)")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)


def _front(figure: Any, result: Result, _: int | None) -> None:
    across, up = axes(result)
    axis = figure.subplots()

    def of(row: Mapping[str, Any], name: str) -> float | None:
        return row["number"] if name == "number" and "number" in row else metric(row, name)

    both = [t for t in complete(result) if of(t, across) is not None and of(t, up) is not None]
    if not both:
        raise ConfigError(f"cannot draw the front: no complete trial has both {across} and {up}")
    possible = [t for t in both if t.get("feasible", True)]
    numbers = {t["number"] for t in front(result)}
    groups: list[tuple[str, list[Mapping[str, Any]], dict[str, Any]]] = [
        ("infeasible", [t for t in both if not t.get("feasible", True)], {"facecolors": "none", "edgecolors": "tab:gray"}),
        ("feasible", [t for t in possible if t["number"] not in numbers], {"color": "tab:gray", "alpha": 0.6}),
        (
            "the best" if single(result) else "on the front",
            [t for t in possible if t["number"] in numbers],
            {"color": "tab:blue", "zorder": 3},
        ),
    ]
    for label, rows, style in groups:
        if rows:
            axis.scatter([of(t, across) for t in rows], [of(t, up) for t in rows], s=26, label=label, **style)
    ahead = groups[2][1]
    if ahead:
        axis.errorbar(
            [of(t, across) for t in ahead], [of(t, up) for t in ahead], xerr=_errors(ahead, across), yerr=_errors(ahead, up),
            fmt="none", ecolor="tab:blue", alpha=0.5, capsize=2,
        )  # fmt: skip
    if stairs := staircase(result, across, up):
        axis.plot([x for x, _ in stairs], [y for _, y in stairs], color="tab:blue", linewidth=1.2)
    for i, network in enumerate(n for n in result["uniform"] if of(n, across) is not None and of(n, up) is not None):
        axis.scatter(
            [of(network, across)],
            [of(network, up)],
            marker="D",
            color="tab:orange",
            label="one width everywhere" if not i else None,
        )
        where = (of(network, across), of(network, up))
        axis.annotate(_safe(network["name"]), where, xytext=(6, -3), textcoords="offset points", fontsize=8)
    axis.set_xlabel(_label(result, across))
    axis.set_ylabel(_label(result, up))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    axis.set_title(_safe(f"{result['network']}, study {result['study']}; bars: one standard error"), fontsize=10)


def staircase(result: Result, across: str, up: str) -> list[tuple[float, float]]:
    """Corners of the front in two metrics among feasible trials, from the best of ``across`` on: what is beyond the line nobody
    reached.  Empty for a metric without a direction."""
    directions = {name: about.get("direction") for name, about in result["metrics"].items()}
    directions |= {o["name"]: o["direction"] for o in result["objectives"]}
    first, second = directions.get(across), directions.get(up)
    if first is None or second is None or across == up:
        return []
    points = [(x, y) for t in feasible(result) if (x := metric(t, across)) is not None and (y := metric(t, up)) is not None]
    points.sort(key=lambda p: (-p[0] if first == "maximize" else p[0], -p[1] if second == "maximize" else p[1]))
    corners: list[tuple[float, float]] = []
    for x, y in points:
        if not corners or better(y, corners[-1][1], second) > 0:
            corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    return corners


def _errors(rows: list[Mapping[str, Any]], name: str) -> list[float]:
    return [float(metric(t, name, "errors") or 0.0) for t in rows]


def _hypervolume(figure: Any, result: Result, _: int | None) -> None:
    label, found = progress(result)
    points = [(i, v) for i, v in enumerate(found, 1) if v is not None]
    if not points:
        raise ConfigError(f"cannot draw the {label}: study {result['study']} has none yet")
    axis = figure.subplots()
    axis.step([i for i, _ in points], [v for _, v in points], where="post", color="tab:blue")
    axis.set_xlabel("complete trials")
    axis.set_ylabel(_safe(label))
    axis.grid(alpha=0.3)
    axis.set_title(_safe(f"{result['network']}, study {result['study']}, strategy {result['strategy']}"), fontsize=10)


def _plan(figure: Any, result: Result, number: int | None) -> None:
    trial = trial_of(result, number)
    names = [name for name in layer_names(result) if name in (trial.get("layers") or {})]
    if not names:
        raise ConfigError(f"cannot draw the plan of trial {trial['number']}: it is {trial['state']} and has none")
    axis = figure.subplots()
    for side, sign, color, label in ((0, 1, "tab:blue", "weights"), (1, -1, "tab:orange", "activations")):
        widths = [bits(trial["layers"][name][side]) for name in names]
        bars = axis.bar(range(len(names)), [sign * w for w in widths], color=color, label=label)
        if len(names) <= 60:
            axis.bar_label(bars, [str(w) for w in widths], fontsize=7, padding=1)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(names)), [_safe(name) for name in names], rotation=60, ha="right", fontsize=7)
    highest = max(bits(t) for name in names for t in trial["layers"][name])
    marks = range(-highest, highest + 1, 4 if highest % 4 == 0 else 2 if highest % 2 == 0 else 1)
    axis.set_yticks(list(marks), [str(abs(b)) for b in marks])
    axis.set_ylabel("bits")
    axis.margins(x=0.01, y=0.12)
    figure.legend(fontsize=8, ncols=2, loc="outside lower right")
    known = [f"{o['name']} {plain(metric(trial, o['name']))} {o.get('unit', '')}".strip() for o in result["objectives"]]
    axis.set_title(_safe(f"{result['network']}, trial {trial['number']}: {', '.join(known)}"), fontsize=10)


_DRAWN: dict[str, Callable[[Any, Result, int | None], None]] = {"front": _front, "hypervolume": _hypervolume, "plan": _plan}


def _label(result: Result, name: str) -> str:
    if name == "number":
        return "number of the trial"
    unit = result["metrics"].get(name, {}).get("unit", "")
    return _safe(f"{name}, {unit}" if unit else name)


def _safe(text: str) -> str:
    """Dollars begin formulas in matplotlib."""
    return text.replace("$", r"\$")


def _save(draw: Callable[[Any], None], path: str | os.PathLike[str], form: str, height: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    image = io.BytesIO()
    figure.savefig(image, dpi=130, format=form)
    write_whole(path, image.getbuffer())
