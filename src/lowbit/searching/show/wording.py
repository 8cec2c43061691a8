"""What a search found, in words that its noise allows."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from lowbit.reporting.wording import count
from lowbit.searching.show.figures import amount, figure, plain
from lowbit.searching.show.shapes import (
    Result,
    Trial,
    best,
    better,
    complete,
    feasible,
    finite,
    front,
    least,
    masked,
    metric,
    single,
    value,
    weak,
)

__all__ = ["beats", "machine", "words"]

_MOST = 6  # lines of one kind


def words(result: Result) -> list[str]:
    """Space, trials, front, noise, ties, uniform networks, how far prediction and measurement lie apart, the next command."""
    return [
        *_about(result),
        *_found(result),
        *_noise(result),
        *_ties(result),
        *_measured(result),
        *_uniform(result),
        *_next(result),
    ]


def machine(result: Result) -> str:
    """Where it ran, with the number of threads once."""
    threads = count(result["threads"], "thread")
    return str(result["machine"]) if str(result["machine"]).endswith(threads) else f"{result['machine']}, {threads}"


def _about(result: Result) -> list[str]:
    lines = [
        f"strategy {result['strategy']}, seed {result['seed']}; {result['data']}; {machine(result)}"
        + (f"; {masked(str(result['storage']))}" if result.get("storage") else "")
    ]
    lines += [f"{key}: {text}" for key, text in (result.get("facts") or {}).items()]
    size, tried = result["space"]["size"], len(complete(result))
    looked = f"; {count(tried, 'trial')} complete, {100 * tried / size:.2g} % of them" if 0 < tried <= size else ""
    lines.append(f"{amount(size)} plans over {count(len(result['space']['dimensions']), 'dimension')}{looked}")
    return lines


def _found(result: Result) -> list[str]:
    states: dict[str, int] = {}
    for trial in result["trials"]:
        states[trial["state"]] = states.get(trial["state"], 0) + 1
    line = "trials: " + (", ".join(f"{number:,} {state}" for state, number in states.items()) or "none")
    done, possible = complete(result), feasible(result)
    why = [f"failed: trial {t['number']}: {t['failed']}" for t in result["trials"] if t.get("failed")]
    if result["constraints"] and done:
        line += f"; {len(possible):,} of {len(done):,} hold {' and '.join(result['constraints'])}"
    lines = [line, *why[:3], *([f"and {len(why) - 3} more failed"] if len(why) > 3 else [])]
    if done and not possible:
        missing = least(result)
        lines.append(
            "no trial is feasible" + ("" if missing else ": each constraint is held by some trial, all together by none")
        )
        lines += [f"{text}: missed by {plain(miss)} at least, in trial {number}" for text, (miss, number) in missing.items()]
    if possible and single(result):
        lines.append(_best(result, best(result, 1)[0]))
    elif possible:
        ends = [f"{end['number']} for {o['name']}" for o in result["objectives"] if (end := _end(result, o))]
        lines.append(f"{count(len(front(result)), 'trial')} on the front; the ends: {', '.join(ends)}")
        if pale := weak(result):
            few = ", ".join(map(str, pale[:_MOST])) + (f" and {len(pale) - _MOST} more" if len(pale) > _MOST else "")
            lines.append(f"on the front by less than the noise: {few}: each is clearly worse than one that it ties with")
    return lines


def _best(result: Result, trial: Trial) -> str:
    parts = [
        f"{o['name']} {figure(metric(trial, o['name']), metric(trial, o['name'], 'errors'), o.get('unit', ''))}"
        for o in result["objectives"]
    ]
    total = f", weighted sum {plain(value(result, trial))}" if len(result["objectives"]) > 1 else ""
    return f"best: trial {trial['number']}, {', '.join(parts)}{total}"


def _end(result: Result, objective: Mapping[str, Any]) -> Trial:
    """The front's best of one objective; empty where none has it."""
    known = [(number, t) for t in front(result) if (number := metric(t, objective["name"])) is not None]
    if not known:
        return {}
    pick = max if objective["direction"] == "maximize" else min
    return pick(known, key=lambda pair: pair[0])[1]


def _noise(result: Result) -> list[str]:
    parts = []
    for name, about in result["metrics"].items():
        errors = [error for t in complete(result) if (error := metric(t, name, "errors"))]
        if errors:
            what = "standard error" if about.get("kind") == "software" else "spread"
            parts.append(f"{what} of {name} {median(errors):.2g} {about.get('unit', '')}".rstrip())
    if not parts:
        return ["noise: not known, so no trials are called ties"] if complete(result) else []
    on = f" on {count(result['images'], 'image')}" if result.get("images") else ""
    return [f"noise{on} (median over trials): {', '.join(parts)}"]


def _ties(result: Result) -> list[str]:
    lines = []
    for trial in best(result, 10**9):
        if trial.get("ties"):
            others = trial["ties"]
            text = ", ".join(map(str, others[:_MOST])) + (f" and {len(others) - _MOST} more" if len(others) > _MOST else "")
            lines.append(f"trial {trial['number']} ties with {text}: in no objective are they worse by more than the noise")
    return lines[:_MOST] + ([f"{len(lines) - _MOST} more trials have ties"] if len(lines) > _MOST else [])


def _measured(result: Result) -> list[str]:
    lines = []
    for name in result["metrics"]:
        apart = [
            100 * (whole / predicted - 1)
            for t in complete(result)
            if (whole := metric(t, name, "measured")) is not None and (predicted := metric(t, name))
        ]
        if apart:
            lines.append(
                f"{name} measured on the whole network lies {median(apart):+.1f} % from the predicted one "
                f"({count(len(apart), 'trial')}, {min(apart):+.1f} to {max(apart):+.1f} %)"
            )
    return lines


def beats(result: Result, trial: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether ``trial`` is at least as good in every objective and in one better by more than twice the standard error of
    the difference, ``sqrt(e1^2 + e2^2)``, the errors taken as independent (on the same images they are smaller)."""
    clearly = False
    for objective in result["objectives"]:
        name = objective["name"]
        own, their = metric(trial, name), metric(other, name)
        if own is None or their is None or (gap := better(own, their, objective["direction"])) < 0:
            return False
        noise = ((metric(trial, name, "errors") or 0) ** 2 + (metric(other, name, "errors") or 0) ** 2) ** 0.5
        clearly = clearly or gap > 2 * noise
    return clearly


def _uniform(result: Result) -> list[str]:
    lines, unbeaten = [], []
    if known := [f"{name} {plain(number)}" for name, number in (result.get("float") or {}).items() if finite(number) is not None]:
        lines.append(f"the float network: {', '.join(known)}")
    beaten = []
    for network in result["uniform"]:
        winners = [str(trial["number"]) for trial in feasible(result) if beats(result, trial, network)]
        if winners:
            more = f" and {len(winners) - 4} more" if len(winners) > 4 else ""
            beaten.append(f"{network['name']} by {', '.join(winners[:4])}{more}")
        else:
            unbeaten.append(network["name"])
    if beaten:
        lines.append(
            "networks of one width that are beaten (matched in all objectives, in one by more than twice the noise): "
            + "; ".join(beaten)
        )
    if unbeaten:
        lines.append(f"networks of one width that no trial beats beyond the noise: {', '.join(unbeaten)}")
    return lines


def _next(result: Result) -> list[str]:
    possible = feasible(result)
    if not possible or not result.get("command"):
        return []
    number = best(result, 1)[0]["number"]
    return [f"compile trial {number}: " + masked(result["command"]).replace("{number}", str(number))]
