"""A search, and a comparison of strategies, as pages that need nothing else: no network, no library."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lowbit.reporting.wording import count
from lowbit.searching.show.comparison import conclusions, ranking, table_rows
from lowbit.searching.show.figures import amount
from lowbit.searching.show.progress import progress
from lowbit.searching.show.series import Comparison, Pair, direction, length, measures, optimum, pairs
from lowbit.searching.show.shapes import (
    Result,
    Trial,
    axes,
    best,
    bits,
    cleaned,
    complete,
    feasible,
    finite,
    front,
    layer_names,
    masked,
    single,
    weak,
)
from lowbit.searching.show.wording import machine, words

__all__ = ["comparison_page", "search_page"]

_WIDEST = 16  # bits: wider types, float32 among them, are drawn as high as the highest of the others
_DOUBLE = 1 << 53  # above it the page's numbers are not exact whole numbers any more


def search_page(result: Result) -> str:
    """HTML with the trials inside: a scatter of any two metrics, the plan and the compile command of the trial that is clicked,
    all metrics at once, the progress, a table that sorts, and `words`.  All names are written as text, never as markup."""
    return _filled("page.html", _study(result))


def comparison_page(comparison: Comparison) -> str:
    """HTML with the series inside: medians with a band from the worst to the best seed, or each seed; regret; the table; and
    `conclusions`.  Raises ToolMissing without scipy."""
    used = measures(comparison)
    head, rows = table_rows(comparison)
    budgets = comparison["trials"]
    data = {
        "network": comparison["network"],
        "strategies": [
            {"name": name, "series": {m: s[m] for m in used}, "seconds": s.get("seconds") or []}
            for name, s in comparison["strategies"].items()
        ],
        "budgets": budgets,
        "measures": [
            {"name": m, "direction": direction(comparison, m), "optimum": optimum(comparison, m), "length": length(comparison, m)}
            for m in used
        ],
        "head": head,
        "rows": rows,
        "pairs": [
            {"measure": m, "trials": n, "first": p.first, "second": p.second, "p": p.p, "ahead": _ahead(comparison, m, n, p)}
            for m in used
            for n in budgets
            for p in pairs(comparison, m, n)
        ],
        "words": conclusions(comparison),
    }
    return _filled("comparison.html", data)


def _ahead(comparison: Comparison, measure: str, trials: int, pair: Pair) -> str | None:
    """The better of two that differ, by median; None for two that do not."""
    order = ranking(comparison, measure, trials)
    return min((pair.first, pair.second), key=order.index) if pair.different else None


def _study(result: Result) -> dict[str, Any]:
    names = layer_names(result)
    about = {layer["name"]: layer for layer in result["space"].get("layers") or ()}
    first = best(result, 1)
    widths = [bits(t) for trial in result["trials"] for plan in (trial.get("layers") or {}).values() for t in plan]
    done, possible = complete(result), feasible(result)
    objectives = [f"{o['direction']} {o['name']}" for o in result["objectives"]]
    lead = f"{'Objectives: ' if len(objectives) > 1 else 'Objective: '}{', '.join(objectives)}"
    lead += f"; {result['mode']}; strategy {result['strategy']}, seed {result['seed']}; {result['data']}; {machine(result)}."
    tiles = [
        [amount(result["space"]["size"]), "plans in the space"],
        [f"{len(done):,}", f"complete of {count(len(result['trials']), 'trial')}"],
        [f"{len(possible):,}", "feasible"],
    ]
    if not single(result):
        tiles.append([f"{len(front(result)):,}", "on the front"])
    label, values = progress(result)
    ahead = {trial["number"] for trial in front(result)}
    return {
        "study": result["study"],
        "network": result["network"],
        "lead": lead,
        "tiles": tiles,
        "words": words(result),
        "objectives": result["objectives"],
        "metrics": result["metrics"],
        "axes": axes(result),
        "bounds": [
            bound for text in result["constraints"] if (bound := _bound(text, (result.get("limits") or {}).get(text))) is not None
        ],
        "layers": [about.get(name, {"name": name}) for name in names],
        "most": max([8, *(b for b in widths if b <= _WIDEST)]),
        "trials": [_trial(trial, names) | {"front": trial["number"] in ahead} for trial in result["trials"]],
        "uniform": result["uniform"],
        "progress": {"label": label, "values": values},
        "single": single(result),
        "weak": weak(result),
        "best": first[0]["number"] if first else None,
        "command": masked(result.get("command") or ""),
    }


def _trial(trial: Trial, names: list[str]) -> dict[str, Any]:
    """With every field there, and the plan as a list in the order of the layers."""
    plan = trial.get("layers") or {}
    return {
        "number": trial["number"],
        "state": trial["state"],
        "feasible": bool(trial.get("feasible", True)),
        "ties": list(trial.get("ties") or ()),
        "seconds": trial.get("seconds"),
        "failed": trial.get("failed") or "",
        "same": trial.get("same_as"),
        "plan": [plan.get(name) for name in names],
    } | {group: trial.get(group) or {} for group in ("metrics", "errors", "scaled", "measured", "constraints")}


def _bound(text: str, limit: Any = None) -> dict[str, Any] | None:
    """``accuracy >= 0.91`` -> the line to draw, at ``limit`` where the text names no number; None for what is no line."""
    if (known := finite(limit)) is not None:
        return {"metric": text.split()[0], "value": known}
    found = re.fullmatch(r"\s*(\S+)\s*[<>]=?\s*([-+.\deE]+)\s*", text)
    try:
        number = finite(float(found[2])) if found else None
    except ValueError:
        return None
    return {"metric": found[1], "value": number} if found and number is not None else None


def _drawable(data: Any) -> Any:
    """Whole numbers that a page's doubles cannot hold exactly as floating-point ones; beyond their range None."""
    if isinstance(data, Mapping):
        return {key: _drawable(entry) for key, entry in data.items()}
    if isinstance(data, list):
        return [_drawable(entry) for entry in data]
    if isinstance(data, int) and abs(data) > _DOUBLE:
        try:
            return float(data)
        except OverflowError:
            return None
    return data


def _filled(template: str, data: Mapping[str, Any]) -> str:
    folder = files("lowbit.searching.show")
    text = folder.joinpath(template).read_text(encoding="utf-8")
    for mark, name in (("/*STYLE*/", "page.css"), ("/*COMMON*/", "common.js")):
        text = text.replace(mark, folder.joinpath(name).read_text(encoding="utf-8"))
    inside = json.dumps(_drawable(cleaned(data)), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return text.replace("/*DATA*/", inside)
