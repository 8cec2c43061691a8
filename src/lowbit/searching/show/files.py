"""A search as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

from lowbit.searching.show.shapes import Result, cleaned, layer_names, masked

__all__ = ["save_csv", "save_json"]

_PLAIN = ("number", "state", "failed", "same_as", "feasible", "front", "seconds")
_GROUPS = ("metrics", "errors", "measured", "scaled", "constraints", "params")


def save_csv(result: Result, path: str | os.PathLike[str]) -> None:
    """One row a trial: number, state, failed (why), same_as (a trial of the same plan), feasible, front, seconds, ties (numbers
    with blanks between), then ``metrics.NAME``, ``errors.NAME``, ``measured.NAME``, ``scaled.NAME``, ``constraints.TEXT``,
    ``params.DIMENSION`` and, of every layer, ``layers.NAME.weights`` and ``layers.NAME.activations``.  Absent values are empty
    cells.  Written whole or not at all."""
    from lowbit.files import write_whole

    trials = result["trials"]
    groups = {group: list(dict.fromkeys(name for t in trials for name in t.get(group) or ())) for group in _GROUPS}
    layers = layer_names(result)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [*_PLAIN, "ties", *(f"{group}.{name}" for group, names in groups.items() for name in names)]
    writer.writerow([*head, *(f"layers.{name}.{side}" for name in layers for side in ("weights", "activations"))])
    for trial in trials:
        row: list[Any] = [_cell(trial.get(name)) for name in _PLAIN]
        row.append(" ".join(map(str, trial.get("ties") or ())))
        row += [_cell((trial.get(group) or {}).get(name)) for group, names in groups.items() for name in names]
        for name in layers:
            row += (trial.get("layers") or {}).get(name, ("", ""))
        writer.writerow(row)
    write_whole(path, text.getvalue())


def save_json(result: Result, path: str | os.PathLike[str]) -> None:
    """The result as it is; NaN and infinities, which JSON has not, become null, the password of a storage ``***``."""
    from lowbit.files import write_whole

    hidden = {**result, **{key: masked(str(result[key])) for key in ("storage", "command") if result.get(key)}}
    write_whole(path, json.dumps(cleaned(hidden), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _cell(value: Any) -> Any:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value
