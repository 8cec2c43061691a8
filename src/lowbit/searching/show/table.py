"""The best trials of a search as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lowbit.searching.show.figures import figure, plain
from lowbit.searching.show.shapes import Result, best, feasible, finite, front, metric, single, value

__all__ = ["best_table"]

_COLUMNS = ("number", "software_metrics", "hardware_metrics", "scaled_metrics")


def best_table(result: Result, rows: int = 10) -> Table:
    """At most ``rows`` trials (see `shapes.best`) and below them the uniform networks.

    Metrics of objectives and constraints, and all of software, with one standard error; ``≈`` the trials that are as good
    within the noise; a measured metric behind the predicted one with their difference; ``*`` on the front, of a weighted or
    single-objective study the best."""
    stars = {trial["number"] for trial in front(result)}
    ahead = 0 if single(result) else len(stars)
    title = f"{result['network']}, study {result['study']}"
    if ahead > rows:
        title += f": {rows} of the {ahead} on the front, evenly along it"
    elif not feasible(result):
        title += ": NO trial holds the constraints; the closest"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD)
    for heading in _COLUMNS:
        table.add_column(heading, justify="right" if heading == "number" else "left")
    for trial in best(result, rows):
        number = f"{trial['number']}{' *' if trial['number'] in stars else ''}"
        if ties := trial.get("ties"):
            number += "\n≈ " + _few(ties)
        table.add_row(
            Text(number), *(Text(_metrics(result, trial, kind)) for kind in ("software", "hardware")), _scaled(result, trial)
        )
    if left := [name for name in result["metrics"] if name not in _shown(result)]:
        table.caption = Text(f"in files and on the page, too: {', '.join(left)}", style="dim")
    if result["uniform"]:
        table.add_section()
        for network in result["uniform"]:
            cells = [Text(_metrics(result, network, kind)) for kind in ("software", "hardware")]
            table.add_row(Text(network["name"]), *cells, Text(""))
    return table


def _few(ties: list[int], most: int = 4) -> str:
    return ", ".join(map(str, ties[:most])) + (f", +{len(ties) - most}" if len(ties) > most else "")


def _shown(result: Result) -> list[str]:
    """Metrics of the objectives, then of the constraints, and of software all."""
    wanted = [objective["name"] for objective in result["objectives"]]
    wanted += [text.split()[0] for text in result["constraints"]]
    wanted += [name for name, about in result["metrics"].items() if about.get("kind") == "software"]
    return [name for name in dict.fromkeys(wanted) if name in result["metrics"]]


def _metrics(result: Result, row: Mapping[str, Any], kind: str) -> str:
    """One a line."""
    lines = []
    for name in _shown(result):
        if result["metrics"][name].get("kind") != kind or name not in (row.get("metrics") or {}):
            continue
        unit = result["metrics"][name].get("unit", "")
        text = f"{name} {figure(metric(row, name), metric(row, name, 'errors'), unit)}"
        if (whole := metric(row, name, "measured")) is not None:
            predicted = metric(row, name)
            text += f", measured {plain(whole)}" + (f" ({100 * (whole / predicted - 1):+.1f} %)" if predicted else "")
        lines.append(text)
    return "\n".join(lines)


def _scaled(result: Result, trial: Mapping[str, Any]) -> Text:
    lines = [f"{name} {plain(number)}" for name, number in (trial.get("scaled") or {}).items() if finite(number) is not None]
    if result["mode"] == "weighted" and len(result["objectives"]) > 1 and (total := value(result, trial)) is not None:
        lines.append(f"sum {plain(total)}")
    return Text("\n".join(lines))
