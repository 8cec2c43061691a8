"""Fit the cost model to a CPU, and write src/lowbit/targets/costs/<cpu>.json.

    PYTHONPATH=src python -m benchmarks.fit_costs TRIALS ... [--cpu VENDOR FAMILY MODEL] [--said TEXT] [--dry]
    PYTHONPATH=src python -m benchmarks.fit_costs TRIALS ... --network resnet50 --configs 8/int8 w7a7

TRIALS are files of the tuner's database (``lowbit tune --status`` names them), plain or .gz, all of one target.  The
second form writes nothing: it tells what the layers of a network take, measured, if the model chooses among what was
measured, typed and fitted.

The model is a factor for each algorithm and form beside the typed estimate (docs/decisions/0020-fitted-costs.md):

    log(measured[problem, decision]) = log(typed[problem, decision]) + factor[algorithm, form] + of_problem[problem] + error

with the least sum of |error| (alternating medians, from those of all problems together).  ``of_problem`` holds the clock and
what else was going on while a problem was measured: decisions of one problem ran in turns, those of two did not.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.problems_of_keys import problem_of, typical_weights

from lowbit.errors import ConfigError
from lowbit.files import write_whole
from lowbit.kernels.conv2d.selection.candidates import SOURCES
from lowbit.kernels.conv2d.selection.cost import DIRECT
from lowbit.kernels.conv2d.selection.decision import Decision
from lowbit.targets import TARGETS, Target
from lowbit.targets.costs import FOLDER
from lowbit.targets.host import Cpu, cpu_model, host_cpu
from lowbit.tuning.trial import Trial, best_trial

__all__ = ["Factors", "Sample", "fit", "main", "read_trials", "regret", "samples_of"]

Kind = tuple[str, str]
"""(algorithm, form)"""
Factors = Mapping[Kind, float]
LEAST = 10  # samples of a kind
_ROUNDS = 200  # of alternating medians, at most


@dataclass(frozen=True)
class Sample:
    """A decision for a problem: ``typed`` cycles, ``measured`` ns."""

    problem: str
    kind: Kind
    typed: float
    measured: float


def read_trials(path: Path) -> tuple[dict[str, Any], list[Trial]]:
    """(first line, the others).  Lines of old, whose key has its ``allows`` at its end, are read as well."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    first, found = json.loads(lines[0]), []
    for line in lines[1:]:
        values = json.loads(line)
        if "allows" not in values:
            values["key"], _, values["allows"] = values["key"].partition(" allows=")
        found.append(Trial.from_json(values))
    return first, found


# Trials -> samples


def samples_of(trials: Iterable[Trial], target: Target) -> list[Sample]:
    """One for each problem and decision, from its most thorough trial: its ratio to the model's choice of that time, times
    the median time of that choice.  Left out are decisions that the model of today would not consider."""
    grouped: dict[tuple[str, int], list[Trial]] = defaultdict(list)
    for trial in trials:
        grouped[trial.key.problem, trial.threads].append(trial)
    found = []
    for (text, threads), group in grouped.items():
        estimates = _estimates(text, target)
        base = float(np.median([trial.ns / trial.ratio for trial in group]))
        decisions: dict[Decision, list[Trial]] = defaultdict(list)
        for trial in group:
            decisions[trial.decision].append(trial)
        for decision, own in decisions.items():
            typed, best = estimates.get(_tile(decision)), best_trial(own)
            if typed is not None and best is not None:
                kind = decision.algorithm, decision.form
                found.append(Sample(f"{text} threads={threads}", kind, typed, best.ratio * base))
    return found


def _estimates(text: str, target: Target) -> dict[Decision, float]:
    problem = problem_of(text)
    weights = typical_weights(problem)
    found: dict[Decision, float] = {}
    for source in SOURCES:
        for cycles, decision in source(problem, weights, target):
            found[_tile(decision)] = min(cycles, found.get(_tile(decision), np.inf))
    return found


def _tile(decision: Decision) -> Decision:
    """The model says nothing about the units of direct kernels."""
    return replace(decision, m_tiles=0, n_blocks=0) if decision.algorithm == DIRECT else decision


# Samples -> factors


def fit(samples: Sequence[Sample]) -> dict[Kind, float]:
    """The factors; half of the samples have one of at least 1.  Kinds that share no problem with others keep what all
    problems together say of them; kinds of fewer than LEAST samples have none."""
    counts = Counter(sample.kind for sample in samples)
    samples = [sample for sample in samples if counts[sample.kind] >= LEAST]
    if not samples:
        return {}
    kinds, of_kind = _numbered([s.kind for s in samples])
    problems, of_problem = _numbered([s.problem for s in samples])
    error = np.log([s.measured / s.typed for s in samples])
    factors = _medians(error, of_kind, len(kinds))
    for _ in range(_ROUNDS):
        common = _medians(error - factors[of_kind], of_problem, len(problems))
        before, factors = factors, _medians(error - common[of_problem], of_kind, len(kinds))
        if np.abs(factors - before).max() < 1e-5:
            break
    factors -= np.median(factors[of_kind])
    return {kind: float(np.exp(value)) for kind, value in zip(kinds, factors, strict=True)}


def _numbered(names: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    known = {name: index for index, name in enumerate(sorted(set(names)))}
    return list(known), np.array([known[name] for name in names])


def _medians(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    return np.array([np.median(values[groups == group]) for group in range(count)])


# How good they are


def regret(samples: Iterable[Sample], factors: Callable[[Sample], float]) -> dict[str, float]:
    """Time of what the model chooses among the measured decisions of a problem / the least time: ``mean`` and ``p90`` over
    problems, ``total`` of all problems together."""
    grouped: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        grouped[sample.problem].append(sample)
    groups = [group for group in grouped.values() if len(group) > 1]
    chosen = np.array([min(group, key=lambda s: s.typed * factors(s)).measured for group in groups])
    least = np.array([min(sample.measured for sample in group) for group in groups])
    ratio = chosen / least
    numbers = {"mean": ratio.mean(), "p90": np.percentile(ratio, 90), "total": chosen.sum() / least.sum()}
    return {"problems": len(groups), **{name: round(float(value), 4) for name, value in numbers.items()}}


def error(samples: Iterable[Sample], factors: Callable[[Sample], float]) -> dict[str, float]:
    """Of log(measured / estimate), with the median as the clock: ``median`` and ``p90`` of its magnitude."""
    logs = np.array([np.log(s.measured / (s.typed * factors(s))) for s in samples])
    size = np.abs(logs - np.median(logs))
    return {"median": round(float(np.median(size)), 4), "p90": round(float(np.percentile(size, 90)), 4)}


def held_out(samples: Sequence[Sample]) -> Callable[[Sample], float]:
    """Factors of each sample's half of the problems, fitted to the other half alone."""
    fitted = [fit([s for s in samples if _half(s) != half]) for half in range(2)]
    return lambda sample: fitted[_half(sample)].get(sample.kind, 1.0)


def _half(sample: Sample) -> int:
    return hashlib.sha256(sample.problem.encode()).digest()[0] % 2


def typed(_: Sample) -> float:
    return 1.0


def report(samples: Sequence[Sample], factors: Factors) -> dict[str, Any]:
    """What stands beside the factors: their errors, and the regrets of the typed and the fitted model."""

    def fitted(sample: Sample) -> float:
        return factors.get(sample.kind, 1.0)

    return {
        "samples": len(samples),
        "log_error": {"typed": error(samples, typed), "fitted": error(samples, fitted)},
        "regret": {
            "typed": regret(samples, typed),
            "fitted": regret(samples, fitted),
            "fitted to the other half": regret(samples, held_out(samples)),
        },
    }


# Files


def write_costs(cpu: Cpu, target: str, source: Mapping[str, Any], samples: Sequence[Sample], folder: Path = FOLDER) -> Path:
    """One line for each factor, with how many samples and problems it comes from."""
    factors = fit(samples)
    nested: dict[str, dict[str, float]] = defaultdict(dict)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for (algorithm, form), value in sorted(factors.items()):
        nested[algorithm][form] = round(value, 3)
        counts[algorithm][form] = sum(sample.kind == (algorithm, form) for sample in samples)
    content = {"cpu": asdict(cpu), "target": target, "source": source, "fit": report(samples, factors)}
    path = folder / f"{cpu.name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({**content, "samples_of": counts, "factors": nested}, indent=1) + "\n")
    return path


def network_times(
    network: str, config: str, samples: Sequence[Sample], target: Target, threads: int
) -> tuple[dict[str, float], int, int]:
    """(ms of the network's convolutions as chosen by each model among what was measured, layers known, layers)."""
    from lowbit.quantization import parse_config
    from lowbit.quantizer import quantized
    from lowbit.tracer import trace
    from lowbit.tuning.session import collect_problems
    from lowbit.zoo.building import load_network
    from lowbit.zoo.samples import smooth_samples

    model, examples = load_network(network)
    graph, chosen = trace(model, examples, network), parse_config(config)
    if chosen is not None:
        graph = quantized(graph, chosen, [smooth_samples(tuple(examples[0].shape), seed) for seed in range(2)])
    grouped: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        grouped[sample.problem].append(sample)
    factors, other = fit(samples), held_out(samples)
    models = {"typed": typed, "fitted": lambda s: factors.get(s.kind, 1.0), "fitted to the other half": other}
    known, total = 0, 0
    times = dict.fromkeys((*models, "best"), 0.0)
    for problem in collect_problems(graph, target):
        total += len(problem.layers)
        group = grouped.get(f"{problem.request.key.problem} threads={threads}")
        if not group:
            continue
        known += len(problem.layers)
        for name, factor in models.items():
            best = min(group, key=lambda s: s.typed * factor(s))
            times[name] += len(problem.layers) * best.measured / 1e6
        times["best"] += len(problem.layers) * min(s.measured for s in group) / 1e6
    return times, known, total


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=Path, nargs="+")
    parser.add_argument("--cpu", nargs=3, metavar=("VENDOR", "FAMILY", "MODEL"), help="where they were measured, if not here")
    parser.add_argument("--said", default="", help="what is to be known of the measurement: when, how busy the machine was")
    parser.add_argument("--dry", action="store_true", help="print what would be written")
    parser.add_argument("--network")
    parser.add_argument("--configs", nargs="*", default=["8/int8"])
    options = parser.parse_args(arguments)
    firsts, trials = [], []
    for path in options.trials:
        first, own = read_trials(path)
        firsts.append(first)
        trials += own
    targets = {first["target"] for first in firsts}
    if len(targets) > 1:
        raise ConfigError(f"trials of several targets: {', '.join(sorted(targets))}; a file of costs is for one")
    target = TARGETS[targets.pop()]
    samples = samples_of(trials, target)
    print(f"{len(trials)} trials, {len(samples)} samples")
    if options.network:
        for config in options.configs:
            times, known, total = network_times(options.network, config, samples, target, trials[0].threads)
            found = ", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items())
            print(f"{options.network} {config}: {found} ({known} of {total} layers)")
        return
    vendor, family, model = options.cpu or (None, 0, 0)
    cpu = host_cpu() if vendor is None else Cpu(vendor, int(family, 0), int(model, 0))
    if cpu is None:
        raise ConfigError("this machine does not say which CPU it has; give --cpu")
    source = {
        "measured_on": firsts[0]["cpu"] if vendor else cpu_model(),
        "said": options.said,
        "fitted": date.today().isoformat(),
        "trials": len(trials),
        "threads": sorted({trial.threads for trial in trials}),
        "generators": sorted({first["generator"] for first in firsts}),
    }
    if options.dry:
        factors = fit(samples)
        named = {" ".join(kind): round(value, 3) for kind, value in factors.items()}
        print(json.dumps({"fit": report(samples, factors), "factors": named}, indent=1))
        return
    print(write_costs(cpu, target.name, source, samples, FOLDER))


if __name__ == "__main__":
    main()
