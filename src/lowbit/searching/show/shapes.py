"""What a result and a comparison hold, and the questions all views ask of a result.

``result``: study, network, data, images, strategy, seed, machine, threads, storage (text or numbers); ``mode`` ("pareto": the
front; "weighted": one sum of scaled objectives); ``objectives``, a list of name, direction ("maximize" or "minimize"), scale,
unit, kind ("software" or "hardware"); ``metrics``, name to unit, kind, direction, what; ``constraints``, texts like
``accuracy >= 0.91``; ``space`` with size, dimensions, layers (name, op, parameters, macs); ``trials``; ``uniform``, networks
of one width everywhere (name, metrics, errors); ``hypervolume``, one value after each complete trial, or empty; ``command``,
in which ``{number}`` stands for a trial; ``facts``, further words; where known ``limits``, constraint to number, and
``float``, metrics of the float network.

A trial: number, state ("complete", "failed", "running", "waiting"), params, layers (name to the types of weights and
activations, e.g. ``["i4", "u8"]``), metrics, errors (one standard error, or spread, of a metric), scaled, constraints (text
to a number, which is at most 0 where it holds), feasible, front, ties (numbers of trials that are in no objective worse by
more than the noise), measured (of the whole compiled network, beside a predicted metric), seconds, failed (why), same_as (a
trial of the same plan). What a trial has not got is absent or None. In a weighted study a trial may say its sum as ``value``
(larger is better); else it is ``sum(sign * scaled)`` with sign -1 to minimize.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from lowbit.errors import ConfigError
from lowbit.searching.urls import masked

__all__ = [
    "Result",
    "Trial",
    "axes",
    "best",
    "better",
    "bits",
    "cleaned",
    "complete",
    "feasible",
    "finite",
    "front",
    "layer_names",
    "least",
    "masked",
    "metric",
    "single",
    "trial_of",
    "value",
    "weak",
]

Result = Mapping[str, Any]
Trial = Mapping[str, Any]


def finite(number: Any) -> float | int | None:
    """``number``; None for what is no number, infinite or not a number."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return number if isinstance(number, int) or math.isfinite(number) else None


def cleaned(data: Any) -> Any:
    """The same with None for NaN and infinities, which JSON has not."""
    if isinstance(data, Mapping):
        return {str(key): cleaned(entry) for key, entry in data.items()}
    if isinstance(data, list | tuple):
        return [cleaned(entry) for entry in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def metric(row: Mapping[str, Any], name: str, group: str = "metrics") -> float | int | None:
    """A finite metric (or ``errors``, ``scaled``, ``measured``) of a trial or a uniform network, or None."""
    return finite((row.get(group) or {}).get(name))


def complete(result: Result) -> list[Trial]:
    """Trials that came to an end with metrics, in order."""
    return [trial for trial in result["trials"] if trial["state"] == "complete"]


def feasible(result: Result) -> list[Trial]:
    """Complete trials that hold every constraint."""
    return [trial for trial in complete(result) if trial.get("feasible", True)]


def front(result: Result) -> list[Trial]:
    """Feasible trials that no other dominates, the best of the first objective first; of a weighted or single-objective study
    those with the best value, whatever their ``front`` says."""
    if single(result):
        known = [(number, trial) for trial in feasible(result) if (number := value(result, trial)) is not None]
        top = max((number for number, _ in known), default=None)
        return [trial for number, trial in known if number == top]
    found = [trial for trial in feasible(result) if trial.get("front")]
    return sorted(found, key=lambda trial: _rank(result["objectives"][0], trial))


def weak(result: Result) -> list[int]:
    """Members of the front that another member clearly beats: it ties with them, and they do not tie with it."""
    if single(result):
        return []
    ties = {trial["number"]: set(trial.get("ties") or ()) for trial in front(result)}
    return [number for number, others in ties.items() if any(n in ties and number not in ties[n] for n in others)]


def value(result: Result, trial: Trial) -> float | None:
    """What a weighted (or a single-objective) study maximizes; None where an objective is missing."""
    if (own := finite(trial.get("value"))) is not None:
        return float(own)
    total = 0.0
    for objective in result["objectives"]:
        part = metric(trial, objective["name"], "scaled")
        if part is None:
            raw = metric(trial, objective["name"])
            if raw is None:
                return None
            part = raw * objective.get("scale", 1.0)
        total += part if objective["direction"] == "maximize" else -part
    return total


def single(result: Result) -> bool:
    """Whether trials are ordered by one number: one objective, or a weighted sum of several."""
    return bool(result["mode"] == "weighted" or len(result["objectives"]) == 1)


def best(result: Result, rows: int) -> list[Trial]:
    """At most ``rows`` trials that a reader wants first.

    Of a weighted or single-objective study the largest sums.  Else the front, evenly along it with both ends where it
    is longer, followed by the trials that tie with it where it is shorter.  Where nothing is feasible, those
    that miss the constraints by least.
    """
    possible = feasible(result)
    if not possible:
        return sorted(complete(result), key=lambda trial: _missed(result, trial))[:rows]
    if single(result):
        return sorted(possible, key=lambda trial: _last(value(result, trial)))[:rows]
    ahead = front(result)
    if len(ahead) > rows:
        return [ahead[round(i * (len(ahead) - 1) / max(1, rows - 1))] for i in range(rows)]
    numbers = {trial["number"] for trial in ahead}
    tied = {number for trial in ahead for number in trial.get("ties") or ()} - numbers
    rest = sorted(
        (trial for trial in possible if trial["number"] in tied), key=lambda trial: _rank(result["objectives"][0], trial)
    )
    return (ahead + rest)[:rows]


def better(first: float, second: float, direction: str) -> float:
    """By how much ``first`` is better than ``second``; negative where it is worse."""
    return first - second if direction == "maximize" else second - first


def least(result: Result) -> dict[str, tuple[float, int]]:
    """Of every constraint that no complete trial holds by itself: the least anyone misses it by, and which trial."""
    found: dict[str, tuple[float, int]] = {}
    for text in result["constraints"]:
        missed = [(miss, t["number"]) for t in complete(result) if (miss := metric(t, text, "constraints")) is not None]
        if missed and min(missed)[0] > 0:
            found[text] = (float(min(missed)[0]), min(missed)[1])
    return found


def axes(result: Result) -> tuple[str, str]:
    """Metrics to draw against each other, (horizontal, vertical): of the first two objectives the software one upwards.
    With one objective another metric lies on the horizontal, with no other the trial's number (``number``)."""
    objectives = result["objectives"]
    if len(objectives) == 1:
        own = objectives[0]["name"]
        other = [name for name in result["metrics"] if name != own]
        hard = [name for name in other if result["metrics"][name].get("kind") == "hardware"]
        return (hard or other or ["number"])[0], own
    first, second = objectives[0], objectives[1]
    if second.get("kind") == "software" and first.get("kind") != "software":
        first, second = second, first
    return second["name"], first["name"]


def bits(qtype: str) -> int:
    """Of a type as text: ``i4`` -> 4, ``u8`` -> 8, ``f32`` -> 32.  Raises ConfigError for text without a number."""
    if (found := re.search(r"\d+", qtype)) is None:
        raise ConfigError(f"{qtype!r} names no width; types look like i4, u8, f32")
    return int(found.group())


def layer_names(result: Result) -> list[str]:
    """Every layer, those of the space first, in order."""
    names = dict.fromkeys(layer["name"] for layer in result["space"].get("layers") or ())
    for trial in result["trials"]:
        names.update(dict.fromkeys(trial.get("layers") or ()))
    return list(names)


def trial_of(result: Result, number: int | None) -> Trial:
    """The trial of that number; for None the first of `best`.  Raises ConfigError where there is none."""
    if number is None:
        if not (ahead := best(result, 1)):
            raise ConfigError(f"study {result['study']}: no trial is complete")
        return ahead[0]
    for trial in result["trials"]:
        if trial["number"] == number:
            return trial
    raise ConfigError(f"study {result['study']} has no trial {number}; it has {len(result['trials'])}")


def _rank(objective: Mapping[str, Any], trial: Trial) -> float:
    own = metric(trial, objective["name"])
    return math.inf if own is None else -own if objective["direction"] == "maximize" else own


def _last(number: float | None) -> float:
    return math.inf if number is None else -number


def _missed(result: Result, trial: Trial) -> tuple[int, float]:
    """How many constraints are missed, and the sum of the shares: each miss by the largest one among all trials."""
    count, total = 0, 0.0
    for text in result["constraints"]:
        own = metric(trial, text, "constraints")
        if own is None:
            return len(result["constraints"]) + 1, math.inf
        if own > 0:
            most = max(metric(other, text, "constraints") or 0 for other in complete(result))
            count, total = count + 1, total + own / most
    return count, total
