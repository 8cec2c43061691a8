"""Which networks of other people's packages compile, exactly, and how fast: ``make coverage``, into docs/networks.md.

    python -m benchmarks.coverage [--steps import,fp32,8/int8,4/int4,peers] [--only PATTERN] [--minutes N] [--fresh]

The packages are installed into .coverage/, an environment of their own that reads lowbit's.  Every step of every network is a
process of its own, with a limit of time; what is finished is kept in benchmarks/results/coverage.json, and the next call goes
on.  Weights are random but for the trained ONNX files, which are calibrated and judged on photographs of LOWBIT_DATA.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import subprocess
import sys
import sysconfig
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.coverage_networks import NETWORKS, PACKAGES
from benchmarks.results_file import ROOT, Results, write_between

from lowbit.measure.machine import commit, machine, versions

__all__ = ["STEPS", "page_of", "table_of_trained"]

RESULTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "docs" / "networks.md"
FOLDER = ROOT / ".coverage"
STEPS = ("import", "fp32", "8/int8", "4/int4", "peers", "trained")
SECONDS = 900


def environment() -> Path:
    """The interpreter of an environment that holds the packages; made on the first call."""
    folder = FOLDER / "environment"
    python = folder / "bin" / "python"
    done = folder / "installed.json"
    if done.exists() and json.loads(done.read_text()) == list(PACKAGES):
        return python
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lowbit.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT / 'src'}\n{ROOT}\n")
    for package, how in PACKAGES.items():
        subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *how, package], check=True)
    done.write_text(json.dumps(list(PACKAGES)))
    return python


def measure(python: Path, name: str, step: str) -> dict[str, Any]:
    """One step of one network in a process of its own; {"error": why} where it fails."""
    command = [str(python), "-m", "benchmarks.coverage_worker", name, step]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": ""}
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {SECONDS} s", "seconds": SECONDS}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found = (
        json.loads(lines[-1]) if lines else {"error": f"exit {done.returncode}: {(done.stderr.splitlines() or [''])[-1][:200]}"}
    )
    return {**found, "seconds": round(time.monotonic() - began, 1)}


def page_of(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and what it comes to."""
    steps: dict[str, dict[str, Any]] = {}
    for key, part in parts.items():
        name, _, step = key.rpartition(" | ")
        steps.setdefault(name, {})[step] = part
    rows = {name: steps[name] for name in NETWORKS if name in steps}
    imported = [name for name, row in rows.items() if "error" not in row["import"]]
    configs = [step for step in STEPS if step not in ("import", "peers", "trained")]
    share = 100 * len(imported) / max(1, len(rows))
    lines = [
        f"{len(rows)} networks, of which {len(imported)} ({share:.0f} %) are read whole: every operation is supported. "
        "Compiled so far, and equal to the integer interpreter (fp32: to torch or onnxruntime within 10^-3 of the largest "
        "output): " + "; ".join(f"{config} {_count(rows, config)}" for config in configs) + ".",
        "",
    ]
    missing = Counter(_first_missing(row["import"]) for row in rows.values() if "error" in row["import"])
    if missing:
        lines += ["Missing first: " + ", ".join(f"{what} ({count})" for what, count in missing.most_common()) + ".", ""]
    lines += [*_beside([timed for row in rows.values() if (timed := _timed(row))]), ""]
    heads = ["network", "package", "operations", *configs, "SNR at 8 bits", "ms: fp32, 8/int8, 4/int4", "in turns: fp32, 8/int8"]
    heads += ["onnxruntime fp32, int8"]
    lines += ["| " + " | ".join(heads) + " |", "| --- | --- | ---: |" + " --- |" * len(configs) + " ---: |" * 4]
    for name, row in rows.items():
        first = row["import"]
        operations = str(first.get("operations", "-"))
        cells = [_cell(row.get(config)) if "error" not in first else "" for config in configs]
        if "error" in first:
            cells[0] = _first_missing(first).replace("|", "/")
        snr = row.get("8/int8", {}).get("snr_db")
        times = [_ms(row.get(config, {}).get("ms")) for config in configs]
        ours, theirs = (_pair(_timed(row), kinds) for kinds in (_OURS, _THEIRS))
        lines.append(
            f"| {name} | {NETWORKS[name].package} | {operations} | {' | '.join(cells)} | "
            f"{'' if snr is None else f'{snr:.1f} dB'} | {', '.join(times) if any(times) else ''} | {ours} | {theirs} |"
        )
    return "\n".join(lines)


_OURS, _THEIRS = ("fp32", "int8"), ("onnxruntime fp32", "onnxruntime int8")


def _timed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The step in which a network was timed in turns with onnxruntime; {} for none."""
    return next((row[step] for step in ("trained", "peers") if "error" not in row.get(step, {"error": ""})), {})


def _pair(part: Mapping[str, Any], kinds: Iterable[str]) -> str:
    """Times of both kinds; - of what does not run."""
    return ", ".join(_ms(part.get(kind, {}).get("ms")) or "-" for kind in kinds) if part else ""


def _beside(parts: list[Mapping[str, Any]]) -> list[str]:
    """How many times as fast as onnxruntime: geometric mean, least, most."""
    found = []
    for kind, other in zip(_OURS, _THEIRS, strict=True):
        ratios = sorted(part[other]["ms"] / part[kind]["ms"] for part in parts if "ms" in part.get(other, {}))
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            faster = sum(ratio >= 1 for ratio in ratios)
            found.append(
                f"{other}: {mean:.2f} times as fast by the geometric mean of {len(ratios)} networks, "
                f"{ratios[0]:.2f} to {ratios[-1]:.2f}, faster on {faster}"
            )
    return [f"Beside onnxruntime, one thread, timed in turns in one process: {'; '.join(found)}."] if found else []


def table_of_trained(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Trained networks beside onnxruntime; a range of decibels where there are several outputs."""
    lines = ["| network | package | SNR: lowbit 8/int8 | onnxruntime int8 | ms: lowbit fp32, 8/int8 | onnxruntime fp32, int8 |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, given in NETWORKS.items():
        part = parts.get(f"{name} | trained")
        if part is None or "error" in part:
            continue
        snr = [_decibels(part[kind]) for kind in ("int8", "onnxruntime int8")]
        ms = [_ms(part[kind].get("ms")) or "-" for kind in ("fp32", "int8", "onnxruntime fp32", "onnxruntime int8")]
        exact = "" if part["exact"] else " NOT EXACT"
        lines.append(f"| {name} | {given.package} | {snr[0]}{exact} | {snr[1]} | {ms[0]}, {ms[1]} | {ms[2]}, {ms[3]} |")
    return "\n".join(lines)


def _decibels(part: Mapping[str, Any]) -> str:
    if "error" in part:
        return f"does not run: {part['error'][:60]}".replace("|", "/")
    least, most = min(part["snr_db"]), max(part["snr_db"])
    return f"{least:g} dB" if least == most else f"{least:g} to {most:g} dB"


def _first_missing(part: Mapping[str, Any]) -> str:
    return str(part.get("missing", part["error"]))[:60]


def _count(rows: Mapping[str, Mapping[str, Any]], config: str) -> str:
    tried = [row[config] for row in rows.values() if config in row]
    return f"{sum(bool(part.get('exact')) for part in tried)} of {len(tried)} tried"


def _cell(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return ""
    if "error" in part:
        return str(part["error"]).split(";")[0][:100].replace("|", "/")
    return "exact" if part["exact"] else f"DIFFERS: {part['difference']:.2g}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of {', '.join(STEPS)}")
    parser.add_argument("--only", default="*", help="pattern of names")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many")
    parser.add_argument("--fresh", action="store_true", help="measure again what is finished")
    parser.add_argument("--failed", action="store_true", help="measure again what failed")
    parser.add_argument("--untimed", action="store_true", help="measure again what is exact, but whose time is not known")
    parser.add_argument("--page", action="store_true", help="only write docs/networks.md")
    given = parser.parse_args()
    results = Results(RESULTS)

    def again(part: Mapping[str, Any]) -> bool:
        return (given.failed and "error" in part) or (given.untimed and bool(part.get("exact")) and "ms" not in part)

    if not given.page:
        results.begin({"machine": machine(), "versions": versions(), "commit": commit()}, resume=not given.fresh)
        _measure_all(results, environment(), given.steps.split(","), given.only, given.minutes, again)
    write_between(PAGE, "networks", page_of(results.parts))
    write_between(PAGE, "trained", table_of_trained(results.parts))


def _measure_all(
    results: Results, python: Path, steps: Iterable[str], only: str, minutes: float, again: Callable[[Mapping[str, Any]], bool]
) -> None:
    end = time.monotonic() + 60 * minutes
    for step in steps:
        if step not in STEPS:
            sys.exit(f"unknown step {step}; steps are {', '.join(STEPS)}")
        for name in NETWORKS:
            key = f"{name} | {step}"
            known = results.parts.get(key, {})
            if not fnmatch.fnmatch(name, only) or (results.done(key) and not again(known)):
                continue
            if "error" in results.parts.get(f"{name} | import", {}) and step != "import":
                continue
            if step in ("peers", "trained") and NETWORKS[name].images != (step == "trained"):
                continue  # trained networks are timed where they are judged
            if time.monotonic() > end:
                return
            part = measure(python, name, step)
            results.put(key, part)
            print(f"{name}, {step}: {json.dumps(part)}", flush=True)


if __name__ == "__main__":
    main()
