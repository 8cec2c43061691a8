"""`make bench`: networks beside other runtimes, what each technique gives, and the page about it.

    python -m benchmarks.run [--quick] [--only resnet50,ablation,...] [--resume] [--out FOLDER]

Writes benchmarks/results/<machine>.json after every finished part and docs/benchmarks.md.  ``--resume`` goes on with the
last run and skips what it has; a new run keeps older figures until it replaces them.  ``--quick`` measures a small network
a few times, into build/bench unless ``--out`` says where: it shows that all works, not how fast.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import ablation, avx2
from benchmarks.groups import CONFIGS, MOST_RUNS, NETWORKS, SECONDS, Group, Prepared, configs_of, groups, measure_group
from benchmarks.page import page
from benchmarks.results_file import ROOT, Results

from lowbit.cli.console import notes_for_warnings
from lowbit.errors import ConfigError, LowbitError, ToolMissing
from lowbit.measure.load import is_busy
from lowbit.measure.machine import file_name
from lowbit.reporting.peer_tables import group_table

__all__ = ["FULL", "QUICK", "Plan", "estimate", "installed_peers", "parts_of", "run"]

# seconds of a part (of a network: a group, on average) on a quiet CPU of two cores; used until it was measured once
GUESS = {
    "resnet50": 65.0,
    "resnet18": 25.0,
    "mobilenet_v1": 20.0,
    "mobilenet_v2": 22.0,
    "squeezenet1_1": 16.0,
    "ablation": 200.0,
    "avx2": 60.0,
}


@dataclass(frozen=True)
class Plan:
    """``networks``, ``batches``, ``threads``: the groups.  ``experiments``: the network of "ablation" and "avx2".
    ``configs``: None = those of the table in groups.py.  ``seconds``, ``most_runs``: as ``runs_within`` takes them."""

    networks: tuple[str, ...]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    experiments: str
    configs: tuple[str, ...] | None = None
    ablated: tuple[str, ...] = ablation.CONFIGS
    peers: tuple[str, ...] = ("onnxruntime", "openvino", "nncf")
    seconds: float = SECONDS
    most_runs: int = MOST_RUNS


FULL = Plan(NETWORKS, (1, 8), (1, 2), "resnet50")
QUICK = Plan(("cifar_resnet8",), (1, 2), (1,), "cifar_resnet8", CONFIGS, ("fp32", "w8a8", "1/int1"), seconds=0.2, most_runs=6)

EXTRAS = ("ablation", "avx2")


def installed_peers(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are installed; says which are not."""
    from lowbit.measure.peers import check_peers

    found = []
    for name in names:
        try:
            check_peers([name])
            found.append(name)
        except ToolMissing as error:
            print(f"left out: {error}", flush=True)
    return tuple(found)


def parts_of(plan: Plan, only: Sequence[str] = ()) -> list[Group | str]:
    """The groups, then the experiments.  ``only``: names of networks, of groups ("resnet50 batch 1 threads 2") and of
    experiments.  Raises ConfigError."""
    every, known = groups(plan.networks, plan.batches, plan.threads), (*plan.networks, *EXTRAS)
    if unknown := [name for name in only if name not in (*known, *(group.key for group in every))]:
        example = f"{every[0].key!r} and so on" if every else "no groups"
        raise ConfigError(f"nothing to measure is called {', '.join(unknown)}; there are {', '.join(known)}, {example}")
    return [
        *(group for group in every if not only or {group.network, group.key} & set(only)),
        *(name for name in EXTRAS if not only or name in only),
    ]


def key_of(part: Group | str) -> str:
    return part if isinstance(part, str) else part.key


def estimate(parts: Iterable[Group | str], results: Results) -> float:
    """Seconds: what each part took the last time it was measured here, else GUESS."""
    total = 0.0
    for part in parts:
        known = results.parts.get(key_of(part))
        total += known["seconds"] if known else GUESS.get(part if isinstance(part, str) else part.network, 10.0)
    return total


def run(
    plan: Plan,
    results: Results,
    document: Path,
    only: Sequence[str] = (),
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Measure what is to be measured; after each part the results and the page are on disk."""
    parts = parts_of(plan, only)
    results.begin(_facts(), resume)
    todo = [part for part in parts if not results.done(key_of(part))]
    skipped = f", {len(parts) - len(todo)} of this run are there already" if len(todo) < len(parts) else ""
    minutes = estimate(todo, results) / 60
    say(f"{len(todo)} parts{skipped}; about {minutes:.0f} minutes, more where kernels are not in the cache yet")
    plan = replace(plan, peers=installed_peers(plan.peers))
    shared: dict[str, Prepared] = {}
    for number, part in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {key_of(part)}")
        start = time.perf_counter()
        measured = _measure(plan, part, shared, say)
        results.put(key_of(part), {**measured, "seconds": time.perf_counter() - start})
        write_page(results, document)
        if isinstance(part, Group):
            say(group_table(measured))
    for prepared in shared.values():
        prepared.close()
    write_page(results, document)


def write_page(results: Results, document: Path) -> None:
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(page(results, document.parent))


def _measure(plan: Plan, part: Group | str, shared: dict[str, Prepared], say: Callable[[str], None]) -> dict[str, Any]:
    if part == "avx2":
        peers = [name for name in avx2.PEERS if name in plan.peers]
        return avx2.in_a_process(plan.experiments, CONFIGS, peers, plan.seconds, plan.most_runs)
    network = plan.experiments if isinstance(part, str) else part.network
    if network not in shared:
        for name in [name for name in shared if name != plan.experiments]:  # at most two networks at a time
            shared.pop(name).close()
        shared[network] = Prepared(network)
    if isinstance(part, Group):
        configs = plan.configs or configs_of(part)
        return measure_group(shared[network], part, configs, plan.peers, seconds=plan.seconds, most_runs=plan.most_runs, say=say)
    return ablation.ablate(shared[network], plan.ablated, seconds=plan.seconds / 2, most_runs=plan.most_runs, say=say)


def _facts() -> dict[str, Any]:
    """Where and when; ``load``: the load average before anything was done."""
    from lowbit.measure.machine import commit, cpu_features, machine, versions
    from lowbit.targets import find_target

    return {
        "machine": machine(),
        "cores": len(os.sched_getaffinity(0)),
        "target": find_target().name,
        "cpu_features": cpu_features(),
        "versions": versions(),
        "commit": commit(),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--only", default="", help=f"some of {', '.join((*FULL.networks, *EXTRAS))}, separated by commas")
    parser.add_argument("--resume", action="store_true", help="go on with the last run")
    parser.add_argument("--out", type=Path, help="folder for benchmarks/results and docs (default: this repository)")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    folder = options.out or (ROOT / "build" / "bench" if options.quick else ROOT)
    results = Results(folder / "benchmarks" / "results" / f"{file_name()}.json")
    document = folder / "docs" / "benchmarks.md"
    start = time.perf_counter()
    with notes_for_warnings():
        run(plan, results, document, [name for name in options.only.split(",") if name], options.resume)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes; {results.path}, {document}")
    busy = [key for key, part in results.parts.items() if is_busy(part)]
    if busy:
        print(f"measured while the machine was busy, measure again: {', '.join(busy)}")


if __name__ == "__main__":
    try:
        main()
    except LowbitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept: go on with --resume")
