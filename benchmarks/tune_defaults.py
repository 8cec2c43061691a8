"""Measure the decisions that come with lowbit, and write src/lowbit/tuning/defaults/<costs>/<target>.json.

    PYTHONPATH=src python benchmarks/tune_defaults.py [--target NAME ...] [--networks ...] [--configs ...] [--threads N ...]
        [--budget SECONDS] [--fresh]
    PYTHONPATH=src python -m benchmarks.tune_defaults --trials FILE ... --costs NAME

The machine must do nothing else meanwhile.  Every network is tuned in every configuration with every number of
threads; what the user's database of this machine holds already is not measured again, so an interrupted run goes on
where it stopped.  Entries of other problems in the file are kept unless ``--fresh`` is given.  What tuning gained is
kept in benchmarks/results/<machine>-tuning.json, for docs/benchmarks.md.

The second form measures nothing: FILEs are databases of tuners on another machine, plain or .gz, whose CPU has the costs NAME.
What was measured in all its rounds becomes a decision; the rest is left to the costs that were fitted to it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.fit_costs import read_trials

from lowbit.files import write_whole
from lowbit.measure.machine import file_name
from lowbit.quantization import parse_config
from lowbit.quantizer import quantized
from lowbit.targets import Target, find_target
from lowbit.targets.costs import costs_names
from lowbit.targets.host import cpu_model
from lowbit.targets.table import native_costs
from lowbit.tracer import trace
from lowbit.tuning.database import user_database
from lowbit.tuning.defaults import FOLDER, TYPED, read_defaults
from lowbit.tuning.lookup import best_by_key
from lowbit.tuning.search import RUNGS
from lowbit.tuning.session import TuneReport, tune_graph
from lowbit.tuning.trial import Trial
from lowbit.zoo.building import load_network
from lowbit.zoo.samples import smooth_samples

RESULTS = Path(__file__).resolve().parent / "results"
NETWORKS = ("resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "squeezenet1_1")
CONFIGS = ("8/int8", "4/int4", "2/int2", "1/int1", "16/int16", "fp32")


def tune(network: str, config: str, target: Target, threads: int, seconds: float) -> None:
    """Measure one network and say what it gained."""
    model, examples = load_network(network)
    graph, chosen = trace(model, examples, network), parse_config(config)
    if chosen is not None:
        graph = quantized(graph, chosen, [smooth_samples(tuple(examples[0].shape), seed) for seed in range(4)])
    report = tune_graph(graph, target, threads, seconds)
    print(
        f"{target.name} {network} {config}, {threads} threads: {report.default_us:,.0f} -> {report.tuned_us:,.0f} us, "
        f"untuned takes {report.gap:.1f} % longer; {len(report.untuned)} layers not reached",
        flush=True,
    )
    if report.rows:
        keep_gain(network, config, target, report)


def keep_gain(network: str, config: str, target: Target, report: TuneReport) -> None:
    """Put what tuning gained into the file of this machine, in place of what it said about the same."""
    path = RESULTS / f"{file_name()}-tuning.json"
    key = {"network": network, "config": config, "target": target.name, "threads": report.threads}
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    others = [row for row in rows if any(row[name] != value for name, value in key.items())]
    gained = {"default_us": report.default_us, "tuned_us": report.tuned_us, "gap": report.gap, "untuned": len(report.untuned)}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({"rows": [*others, key | gained]}, indent=1) + "\n")


def collected(target: Target, fresh: bool) -> list[Trial]:
    """The best trial of every problem and number of threads, those of this machine before those in the file."""
    known = {} if fresh else {(trial.key, trial.threads): trial for trial in read_defaults(target)}
    for key, found in best_by_key(user_database(target).trials()).items():
        known |= {(key, threads): trial for threads, trial in found.items()}
    return list(known.values())


def write_defaults(target: Target, cpu: str, costs: str, trials: Iterable[Trial], folder: Path = FOLDER) -> Path:
    """``costs``: the nearest to the CPU, "" without; who has others will not use these decisions.

    One line for each trial, in the order of their keys, so that a change of one is a change of one line."""
    path = folder / (costs or TYPED) / f"{target.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(trial.to_json()) for trial in sorted(trials, key=lambda trial: (trial.key, trial.threads))]
    body = ",\n".join(lines)
    where = {"cpu": cpu, "costs": costs, "target": target.name}
    write_whole(path, f'{json.dumps(where)[:-1]}, "trials": [\n{body}\n]}}\n')
    return path


def taken_over(trials: Path, costs: str) -> Path:
    """The file of decisions out of what a tuner measured elsewhere, beside what it holds of other problems.

    Left out are problems whose search ended before its last rung."""
    first, found = read_trials(trials)
    target = replace(find_target(first["target"]), costs=costs)
    known = {(trial.key, trial.threads): trial for trial in read_defaults(target)}
    for key, best in best_by_key(found).items():
        known |= {(key, threads): trial for threads, trial in best.items() if trial.rung == len(RUNGS) - 1}
    return write_defaults(target, first["cpu"], costs, known.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", nargs="*", default=["native"])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--configs", nargs="*", default=list(CONFIGS))
    parser.add_argument("--threads", nargs="*", type=int, default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--budget", type=float, default=300.0, help="seconds a network, configuration and number of threads")
    parser.add_argument("--fresh", action="store_true", help="forget what the file holds")
    parser.add_argument("--trials", nargs="*", type=Path, default=[])
    parser.add_argument("--costs", default="", choices=("", *costs_names()))
    args = parser.parse_args()
    for path in args.trials:
        print(taken_over(path, args.costs))
    if args.trials:
        return
    for target in map(find_target, args.target):
        for network in args.networks:
            for config in args.configs:
                for threads in args.threads:
                    tune(network, config, target, threads, args.budget)
        path = write_defaults(target, cpu_model(), native_costs(target), collected(target, args.fresh))
        print(f"{path}: {len(read_defaults(target))} decisions")


if __name__ == "__main__":
    main()
