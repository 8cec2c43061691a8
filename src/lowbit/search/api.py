"""The verb: a search, begun or continued, in this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.compiler import build, calibrate, float_graph
from lowbit.data import Dataset, as_dataset
from lowbit.errors import ConfigError
from lowbit.files import cache_folder
from lowbit.graph import Graph
from lowbit.graph.fingerprint import fingerprint
from lowbit.graph.rebatch import mixes_rows, rebatch
from lowbit.methods import Method, QuantizationPlan
from lowbit.progress import say
from lowbit.quantization import Calibration
from lowbit.quantization.statistics import layer_statistics
from lowbit.runtime import Compiled
from lowbit.search.clock import clock_for
from lowbit.search.evaluator import Evaluator
from lowbit.search.numbers import Numbers
from lowbit.search.objectives import Constraint, Objective, parse_bound, parse_objectives
from lowbit.search.result import result_of
from lowbit.search.run import Loop, complete
from lowbit.search.settings import SearchSettings
from lowbit.search.space import SearchSpace, Space
from lowbit.search.strategies import Problem, Strategy, find_strategy
from lowbit.search.strategies.strategy import Plan, plan_of
from lowbit.search.study import ATTRIBUTE, HEARTBEAT, Notes, belongs, open_storage, quiet_optuna, study_names
from lowbit.search.uniform import evaluate_uniform, uniform_plans

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["Opened", "SearchResult", "open_search", "run_search", "search"]

_MEASURED = 16  # members of the front that are measured whole, at most


@dataclass(eq=False)
class SearchResult:
    """``study``: Optuna's.  ``complete``: False where it was interrupted.  Rows, fronts and ties: ``to_json()``."""

    study: Study
    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    evaluator: Evaluator
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """What pages, tables and pictures show."""
        return result_of(self.study, self.space, self.objectives, self.constraints)

    @property
    def front(self) -> list[int]:
        """Numbers of the trials that no other one beats; of a single objective the best alone."""
        return [trial["number"] for trial in self.to_json()["trials"] if trial["front"]]

    def plan(self, number: int) -> QuantizationPlan:
        """The numbers of a trial, for ``lowbit.compile(model, example, plan=...)``: exactly those that were judged.

        Raises ConfigError for a number that is none."""
        return plan_for(self.study, self.space, self.evaluator, number)

    @property
    def best(self) -> QuantizationPlan:
        """The plan of the first member of the front: of a single objective the best.  Raises ConfigError for none."""
        if not self.front:
            raise ConfigError(f"study {self.study.study_name!r}: no trial holds to the constraints")
        return self.plan(self.front[0])


def plan_for(study: Study, space: Space, evaluator: Evaluator, number: int) -> QuantizationPlan:
    trials = {trial.number: trial for trial in complete(study)}
    if number not in trials or (plan := plan_of(trials[number], space)) is None:
        few = ", ".join(map(str, list(trials)[-8:])) or "none"
        raise ConfigError(f"study {study.study_name!r} has no complete trial {number}; the last ones: {few}")
    found = evaluator.candidate(plan)
    digest = trials[number].user_attrs[ATTRIBUTE]["digest"]
    if fingerprint(found.graph) != digest:
        raise ConfigError(
            f"trial {number} of study {study.study_name!r} cannot be made again: the integers are others than those that were "
            "judged, so the network, its calibration samples or lowbit changed since"
        )
    return found.plan


@dataclass(eq=False)
class Opened:
    """Everything that a search works on, before its first trial."""

    study: Study
    problem: Problem
    strategy: Strategy
    trials: int
    wanted: tuple[str, ...]

    def run(self, workers: int, timeout: float | None, progress: bool | None, worker: str | None = None) -> bool:
        """False: interrupted."""
        who = worker or f"{socket.gethostname()}:{os.getpid()}"
        loop = Loop(self.study, self.problem, self.strategy, self.trials, self.wanted, who, timeout)
        return loop.run(workers, progress)

    def result(self, finished: bool = True) -> SearchResult:
        problem = self.problem
        return SearchResult(self.study, problem.space, problem.objectives, problem.constraints, problem.evaluator, finished)

    def measure_front(self) -> None:
        """Members of the front, measured whole, beside what their kernels predict."""
        if "latency" not in self.wanted:
            return
        notes, result = Notes(self.study), self.result()
        numbers = [n for n in result.front if f"measured:{n}" not in notes][:_MEASURED]
        candidates = {str(n): self.problem.evaluator.candidate(_plan(self.study, self.problem.space, n)) for n in numbers}
        for name, reading in self.problem.evaluator.timed(candidates).items() if candidates else ():
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
    if chosen.name == "brute-force":
        from lowbit.search.strategies.brute_force import brute_force

        brute_force(Problem(space, objectives, (), True, seed, trials, evaluator))  # refuses spaces that are too large
    count = trials if trials is not None else space.size if chosen.name == "brute-force" else 100
    single = weighted or len(objectives) == 1
    identity = {
        "network": fingerprint(evaluator.graph),
        "space": space.to_json(),
        "objectives": [objective.to_json() for objective in objectives],
        "weighted": weighted,
        "constraints": [{"text": bound.text} for bound in bounds],
        "method": evaluator.numbers.method if isinstance(evaluator.numbers.method, str) else repr(evaluator.numbers.method),
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
    plans = uniform_plans(space, uniform)
    named = {bound.network for bound in bounds if bound.network not in (None, "float")}
    everything = uniform_plans(space, "all")
    for name in sorted(str(name) for name in named):
        if name not in everything:
            raise ConfigError(
                f"constraint of {name}: the space has no such uniform network; it has {', '.join(everything) or 'none'}"
            )
        plans[name] = everything[name]
    evaluated = evaluate_uniform(problem, plans, wanted, notes, progress)

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


def make_evaluator(
    graph: Graph,
    calibration: Calibration,
    data: Dataset,
    space: SearchSpace,
    *,
    method: str | Method | Sequence[str | Method],
    target: str,
    threads: int | None,
    timed_rows: int,
    progress: bool | None = None,
) -> Evaluator:
    """What all plans share; the integers of every width are found here, where a method does that."""
    from lowbit.arguments import target_of

    found = space.of(graph)
    workers = threads or len(os.sched_getaffinity(0))
    timed = target_of(target)
    clock = clock_for(timed, workers)
    numbers = Numbers(graph, calibration, found, method, cache_folder() / "methods", progress)
    numbers.prepare()
    return Evaluator(graph, found, numbers, data, target_of("native"), timed, clock, workers, timed_rows)


def search(
    model: Any,
    example_inputs: Any = None,
    *,
    calibration: Iterable[Any] | Calibration,
    dataset: Any,
    space: SearchSpace | None = None,
    objectives: str | Iterable[str] | Mapping[str, Any] = "accuracy,latency,size",
    constraints: Sequence[str] = (),
    strategy: str = "tpe",
    trials: int | None = None,
    seed: int = 0,
    weighted: bool = False,
    method: str | Method | Sequence[str | Method] = "nearest",
    images: int | None = None,
    preprocessing: Callable[[np.ndarray], np.ndarray] | None = None,
    batch: int = 50,
    latency_batch: int = 1,
    target: str = "native",
    threads: int | None = None,
    uniform: str = "diagonal",
    workers: int = 1,
    storage: str | None = None,
    study: str = "lowbit",
    timeout: float | None = None,
    progress: bool | None = None,
) -> SearchResult:
    """Mixed precision for a network: every plan compiled, judged on images and measured.

    ``model``, ``example_inputs``, ``calibration``: as of ``lowbit.compile``; ``dataset``: labelled images, as of
    ``lowbit.evaluate``; the first ``images`` of them judge every plan, ``batch`` at a time (a Graph keeps its own batch).
    ``space``: lowbit.SearchSpace.  ``objectives``: metrics, ``"accuracy,latency:0.2"`` or {"latency": {"scale": 0.2}}; a Pareto
    front, or with ``weighted`` the largest scaled sum.  ``constraints``: "accuracy >= 0.91",
    "accuracy >= w8a8 - 0.5%".  ``strategy``: tpe,
    nsga2, nsga3, gp, random, brute-force, greedy, ilp.  ``trials``: complete ones in the end, 100 by default; a study that is
    in ``storage`` already goes on.  ``method``: how integers are found, once for each width (equalization, adaround, ...).
    ``latency_batch``, ``target``, ``threads``: what latency is of.  ``workers``: threads that try plans at once.
    ``timeout``: seconds.

    Ctrl-C ends it with what is known.  With one worker the same call gives the same study, but for newly measured times.
    Raises ConfigError for what is misspelt or impossible, before any work, and for a study of another search."""
    wanted = parse_objectives(objectives)
    for text in constraints:
        parse_bound(text)
    find_strategy(strategy)
    with quiet_optuna():
        graph = _batched(model, example_inputs, batch)
        held = calibration if isinstance(calibration, Calibration) else calibrate(graph, samples=calibration, progress=progress)
        evaluator = make_evaluator(
            graph,
            held,
            as_dataset(dataset, preprocessing).take(images),
            space or SearchSpace(),
            method=method,
            target=target,
            threads=threads,
            timed_rows=latency_batch,
            progress=progress,
        )
        opened = open_search(
            evaluator,
            None,
            objectives=wanted,
            constraints=constraints,
            weighted=weighted,
            strategy=strategy,
            trials=trials,
            seed=seed,
            uniform=uniform,
            storage=storage,
            study=study,
            progress=progress,
        )
        return finish(opened, workers, timeout, progress)


def finish(opened: Opened, workers: int, timeout: float | None, progress: bool | None) -> SearchResult:
    """Runs what is left, and measures the front."""
    finished = opened.run(workers, timeout, progress)
    if finished:
        opened.measure_front()
    return opened.result(finished)


def _batched(model: Any, example_inputs: Any, batch: int) -> Graph:
    """The graph, of ``batch`` rows where rows do not meet."""
    graph = float_graph(model, example_inputs)
    if isinstance(model, Graph) or mixes_rows(graph):
        return graph
    return rebatch(graph, batch)


def evaluator_of(settings: SearchSettings, progress: bool | None, note: Callable[[str], None] | None = None) -> Evaluator:
    """What settings describe, opened: network, data, calibration."""
    from lowbit.compiler import trace
    from lowbit.evaluation.run import open_network, open_split
    from lowbit.zoo import load_preprocessing

    told = note or (lambda text: say(text, progress))
    plan = settings.evaluation
    model, example = open_network(plan)
    preprocessing = plan.preprocessing or (load_preprocessing(plan.network) if plan.data else None)
    calibrating, data = open_split(plan, example[0].shape, preprocessing)
    graph = trace(model, example, name=plan.network.rpartition(":")[2])
    space = settings.space.of(graph)
    told(f"{graph.name}: {data.description}; {len(space.dimensions)} dimensions, {space.size:,} plans")
    calibration = calibrate(graph, samples=calibrating.take(plan.calibration), progress=progress)
    return make_evaluator(
        graph,
        calibration,
        data.take(settings.images),
        settings.space,
        method=settings.methods if len(settings.methods) != 1 else settings.methods[0],
        target=settings.target,
        threads=settings.threads,
        timed_rows=settings.latency_batch,
        progress=progress,
    )


def run_search(settings: SearchSettings, progress: bool | None = None, note: Callable[[str], None] | None = None) -> SearchResult:
    """:func:`search` of what settings describe."""
    with quiet_optuna():
        opened = opened_of(settings, evaluator_of(settings, progress, note), progress)
        return finish(opened, settings.workers, settings.timeout, progress)


def opened_of(settings: SearchSettings, evaluator: Evaluator, progress: bool | None, heartbeat: float = HEARTBEAT) -> Opened:
    return open_search(
        evaluator,
        settings,
        objectives=parse_objectives(settings.objectives),
        constraints=settings.constraints,
        weighted=settings.weighted,
        strategy=settings.strategy,
        trials=settings.trials,
        seed=settings.seed,
        uniform=settings.uniform,
        storage=settings.storage,
        study=settings.study,
        progress=progress,
        heartbeat=heartbeat,
    )


def compile_trial(storage: str, study: str | None, number: int, **options: Any) -> Compiled:
    """The network of a trial of a study that ``lowbit search`` made; integers equal to those that were judged."""
    from lowbit.search.study import open_study

    with quiet_optuna():
        opened = open_study(open_storage(storage), study)
        settings = settings_of(opened)
        evaluator = evaluator_of(settings, options.get("progress"))
        plan = plan_for(opened, evaluator.space, evaluator, number)
    return build_plan(evaluator, plan, **options)


def stored_result(storage: str, study: str | None) -> dict[str, Any]:
    """What a storage knows of a study; no network is opened."""
    from lowbit.search.space import stored_space
    from lowbit.search.study import open_study

    with quiet_optuna():
        opened = open_study(open_storage(storage), study)
        identity, notes = opened.user_attrs[ATTRIBUTE]["identity"], Notes(opened)
        objectives = parse_objectives(
            {o["name"]: {"scale": o["scale"], "direction": o["direction"]} for o in identity["objectives"]}
        )
        constraints = [Constraint.from_json(one) for one in notes.get("constraints", [])]
        return result_of(
            opened, stored_space(opened.user_attrs[ATTRIBUTE]["network"], identity["space"]), objectives, constraints
        )


def join(
    storage: str,
    study: str | None,
    *,
    data: str | None = None,
    calib_data: str | None = None,
    threads: int | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    note: Callable[[str], None] | None = None,
    heartbeat: float = HEARTBEAT,
) -> SearchResult:
    """Works at a study that somebody began, on this machine, until it has its trials.  ``data``, ``calib_data``: where the same
    images lie here.  Raises ConfigError where the network, the images or the machine are others."""
    from lowbit.search.study import open_study

    with quiet_optuna():
        settings = settings_of(open_study(open_storage(storage, heartbeat), study))
        given: dict[str, Any] = {"data": data, "calib_data": calib_data, "threads": threads}
        settings = replace(settings, storage=storage, **{key: value for key, value in given.items() if value is not None})
        opened = opened_of(settings, evaluator_of(settings, progress, note), progress, heartbeat)
        finished = opened.run(1, timeout, progress)
        if finished:
            opened.measure_front()
        return opened.result(finished)


def settings_of(study: Study) -> SearchSettings:
    """Raises ConfigError for a study that was made from Python objects."""
    held = study.user_attrs[ATTRIBUTE]["settings"]
    if held is None:
        raise ConfigError(
            f"study {study.study_name!r} was made by lowbit.search from Python objects, which cannot be opened from here; call "
            "lowbit.search with the same storage"
        )
    return SearchSettings.from_json(held)


def build_plan(
    evaluator: Evaluator, plan: QuantizationPlan, rows: int | None = None, threads: int | None = None, **options: Any
) -> Compiled:
    """For the target of the search, with as many rows as were timed, or ``rows``."""
    from lowbit.lowering import lower
    from lowbit.tuning.lookup import make_lookup, tuning_enabled

    graph = rebatch(plan.integer_graph(), rows or evaluator.timed_rows)
    lookup = make_lookup(evaluator.target, evaluator.threads) if tuning_enabled() else None
    program = lower(graph, evaluator.target, lookup)
    return build(graph, program, evaluator.target, threads, progress=options.get("progress"))
