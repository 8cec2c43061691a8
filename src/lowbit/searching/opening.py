"""A study, made or opened again, and everything that it works on."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.data import Dataset
from lowbit.errors import ConfigError
from lowbit.graph.fingerprint import fingerprint
from lowbit.graph.rebatch import mixes_rows, rebatch
from lowbit.quantization import Calibration
from lowbit.quantization.statistics import layer_statistics
from lowbit.searching.evaluator import Evaluator
from lowbit.searching.found import SearchResult
from lowbit.searching.objectives import Constraint, Objective, parse_bound
from lowbit.searching.run import Loop, complete
from lowbit.searching.settings import SearchSettings
from lowbit.searching.space import Space
from lowbit.searching.strategies import Problem, Strategy, find_strategy
from lowbit.searching.strategies.strategy import Plan, plan_of
from lowbit.searching.study import ATTRIBUTE, HEARTBEAT, Notes, belongs, open_storage, study_names
from lowbit.searching.uniform import evaluate_uniform, uniform_networks, widths_of

if TYPE_CHECKING:
    from optuna.study import Study


_MEASURED = 16  # members of the front that are measured whole, at most


__all__ = ["Opened", "open_search"]


@dataclass(eq=False)
class Opened:
    """Everything that a search works on, before its first trial."""

    study: Study
    problem: Problem
    strategy: Strategy
    trials: int
    wanted: tuple[str, ...]

    def run(self, workers: int, timeout: float | None, progress: bool | None) -> bool:
        """False: interrupted."""
        who = f"{socket.gethostname()}:{os.getpid()}"
        loop = Loop(self.study, self.problem, self.strategy, self.trials, self.wanted, who, timeout)
        return loop.run(workers, progress)

    def result(self, finished: bool = True) -> SearchResult:
        problem = self.problem
        return SearchResult(self.study, problem.space, problem.objectives, problem.constraints, problem.evaluator, finished)

    def measure_front(self) -> None:
        """Members of the front, measured whole, beside what their kernels predict."""
        if "latency" not in self.wanted:
            return
        notes, result, evaluator = Notes(self.study), self.result(), self.problem.evaluator
        numbers = [n for n in result.front if f"measured:{n}" not in notes][:_MEASURED]
        candidates = {str(n): evaluator.candidate(_plan(self.study, self.problem.space, n)) for n in numbers}
        names = [key.partition(":")[2] for key in notes if key.startswith("uniform:") and "metrics" in notes[key]]
        candidates |= {name: evaluator.uniform(*widths_of(name)) for name in names if f"measured:{name}" not in notes}
        for name, reading in evaluator.timed(candidates).items() if candidates else ():
            notes[f"measured:{name}"] = {"latency": reading.ms, "latency_error": reading.error}
        for candidate in candidates.values():
            candidate.timed.close()


def _plan(study: Study, space: Space, number: int) -> Plan:
    plan = next((plan_of(trial, space) for trial in complete(study) if trial.number == number), None)
    assert plan is not None
    return plan


def open_search(
    evaluator: Evaluator,
    settings: SearchSettings | None,
    *,
    objectives: Sequence[Objective],
    constraints: Sequence[str],
    weighted: bool,
    strategy: str,
    trials: int | None,
    seed: int,
    uniform: str,
    storage: str | None,
    study: str,
    progress: bool | None,
    heartbeat: float = HEARTBEAT,
) -> Opened:
    """A study, made or opened again.  Raises ConfigError for one that was begun with another search."""
    import optuna

    space, chosen = evaluator.space, find_strategy(strategy)
    bounds = [parse_bound(text) for text in constraints]
    wanted = tuple(dict.fromkeys(["accuracy", *(o.name for o in objectives), *(b.metric.name for b in bounds)]))
    if chosen.enumerates and chosen.propose is not None:
        chosen.propose(Problem(space, objectives, (), True, seed, trials, evaluator))  # refuses spaces that are too large
    count = trials if trials is not None else space.size if chosen.enumerates else 100
    single = weighted or len(objectives) == 1
    identity = {
        "network": fingerprint(evaluator.graph),
        "space": space.to_json(),
        "objectives": [objective.to_json() for objective in objectives],
        "weighted": weighted,
        "constraints": [{"text": bound.text} for bound in bounds],
        "method": evaluator.numbers.method if isinstance(evaluator.numbers.method, str) else repr(evaluator.numbers.method),
        **({"whole": True} if evaluator.numbers.whole else {}),
        "calibration": _digest_of_calibration(evaluator.numbers.calibration),
        "data": _digest_of_data(evaluator.data),
        "clock": evaluator.clock.where if {"latency", "instructions"} & set(wanted) else "",
        "latency_batch": evaluator.timed_rows,
    }
    held = open_storage(storage, heartbeat)
    if study in study_names(held):
        opened = optuna.load_study(study_name=study, storage=held)
        if ATTRIBUTE not in opened.user_attrs:
            raise ConfigError(f"study {study!r} was not made by lowbit search; write another --study name")
        belongs(opened, identity)
    else:
        directions = ["maximize"] if single and len(objectives) > 1 else [objective.direction for objective in objectives]
        opened = optuna.create_study(storage=held, study_name=study, directions=directions)
        opened.set_metric_names(
            ["weighted sum"] if single and len(objectives) > 1 else [objective.name for objective in objectives]
        )
        opened.set_user_attr(ATTRIBUTE, _about(evaluator, identity, settings, strategy, seed, storage, opened.study_name))
    notes = Notes(opened)
    if "float" not in notes:
        floats = evaluator.floats
        notes["float"] = {
            key: value
            for key, value in (("accuracy", floats.top1), ("top5", floats.top5), ("loss", floats.loss))
            if value is not None
        }
    problem = Problem(space, objectives, (), single, seed, count, evaluator, notes, progress)
    networks = uniform_networks(space, uniform)
    networks |= {b.network: widths_of(b.network) for b in bounds if b.network not in (None, "float")}
    evaluated = evaluate_uniform(problem, networks, wanted, notes, progress)

    def metrics_of(name: str) -> Mapping[str, float]:
        found: Mapping[str, float] = notes["float"] if name == "float" else evaluated.get(name, {}).get("metrics", {})
        missing = [bound.metric.name for bound in bounds if bound.network == name and bound.metric.name not in found]
        if missing:
            raise ConfigError(f"constraint: {name} has no {missing[0]}: {notes.get(f'uniform:{name}', {}).get('failed', '')}")
        return found

    if "constraints" not in notes:
        notes["constraints"] = [bound.resolved(metrics_of).to_json() for bound in bounds]
    problem.constraints = [Constraint.from_json(one) for one in notes["constraints"]]
    return Opened(opened, problem, chosen, count, wanted)


def _about(
    evaluator: Evaluator,
    identity: Mapping[str, Any],
    settings: SearchSettings | None,
    strategy: str,
    seed: int,
    storage: str | None,
    name: str,
) -> dict[str, Any]:
    layers = [
        {"name": entry.name, "op": entry.op, "parameters": entry.parameters, "macs": entry.macs}
        for entry in layer_statistics(rebatch(evaluator.graph, 1) if not mixes_rows(evaluator.graph) else evaluator.graph)
    ]
    return {
        "identity": identity,
        "settings": None if settings is None else settings.to_json(),
        "network": evaluator.graph.name,
        "data": evaluator.data.description,
        "images": evaluator.floats.count,
        "strategy": strategy,
        "seed": seed,
        "machine": evaluator.clock.where,
        "threads": evaluator.threads,
        "storage": storage or "",
        "facts": {"method": identity["method"], "base": identity["space"]["base"]},
        "layers": layers,
    }


def _digest_of_calibration(calibration: Calibration) -> str:
    from lowbit.methods.store import digest_of

    parts = [digest_of([np.asarray(value) for value in calibration.samples or ()])]
    parts += [f"{name} {seen.minimum!r} {seen.maximum!r}" for name, seen in sorted(calibration.histograms.items())]
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _digest_of_data(data: Dataset) -> str:
    """Of the labels, and of the first images."""
    digest = blake2b(digest_size=8)
    labels = data.labels
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, np.int64).tobytes())
    for batch in data.take(64).batches(64):
        digest.update(batch.labels.astype(np.int64).tobytes())
        for value in batch.inputs:
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
