"""How far a search had come after each complete trial."""

from __future__ import annotations

from lowbit.searching.show.shapes import Result, complete, finite, value

__all__ = ["progress"]


def progress(result: Result) -> tuple[str, list[float | None]]:
    """(what it is, one value after each complete trial): the hypervolume; of a weighted or single-objective study without one the
    best objective, or weighted sum, so far among feasible trials (None before the first).  Without either an empty list."""
    if result["hypervolume"]:
        return "hypervolume", [finite(v) for v in result["hypervolume"]]
    single = len(result["objectives"]) == 1
    if not single and result["mode"] != "weighted":
        return "hypervolume", []
    objective = result["objectives"][0]
    pick = min if single and objective["direction"] == "minimize" else max
    best: float | None = None
    values: list[float | None] = []
    for trial in complete(result):
        own = finite((trial.get("metrics") or {}).get(objective["name"])) if single else value(result, trial)
        if own is not None and trial.get("feasible", True):
            best = own if best is None else pick(best, own)
        values.append(best)
    return (f"best {objective['name']}" if single else "best weighted sum"), values
