"""The verb: a search, begun or continued, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lowbit.data import Dataset, as_dataset
from lowbit.files import cache_folder
from lowbit.graph import Graph
from lowbit.graph.rebatch import mixes_rows, rebatch
from lowbit.methods import Method
from lowbit.quantization import Calibration
from lowbit.quantizer import calibrate
from lowbit.searching.clock import clock_for
from lowbit.searching.evaluator import Evaluator
from lowbit.searching.found import SearchResult
from lowbit.searching.numbers import Numbers
from lowbit.searching.objectives import parse_bound, parse_objectives
from lowbit.searching.opening import Opened, open_search
from lowbit.searching.space import SearchSpace
from lowbit.searching.strategies import find_strategy
from lowbit.searching.study import quiet_optuna
from lowbit.tracer import float_graph

__all__ = ["finish", "make_evaluator", "search"]


def make_evaluator(
    graph: Graph,
    calibration: Calibration,
    data: Dataset,
    space: SearchSpace,
    *,
    method: str | Method | Sequence[str | Method],
    whole: bool = False,
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
    numbers = Numbers(graph, calibration, found, method, whole, cache_folder() / "methods", progress)
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
    whole: bool = False,
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
    in ``storage`` already goes on.  ``method``: how integers are found, once for each width (equalization, adaround, ...), or,
    with ``whole``, for every plan as a whole, in each trial.
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
            whole=whole,
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
