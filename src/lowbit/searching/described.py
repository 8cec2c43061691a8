"""Searches that settings describe: begun, continued, joined from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lowbit.errors import ConfigError
from lowbit.progress import say
from lowbit.quantizer import calibrate
from lowbit.searching.api import finish, make_evaluator
from lowbit.searching.evaluator import Evaluator
from lowbit.searching.found import SearchResult
from lowbit.searching.objectives import parse_objectives
from lowbit.searching.opening import Opened, open_search
from lowbit.searching.settings import SearchSettings
from lowbit.searching.study import ATTRIBUTE, open_storage, open_study, quiet_optuna

if TYPE_CHECKING:
    from optuna.study import Study


__all__ = ["evaluator_of", "join", "opened_of", "run_search", "settings_of"]


def evaluator_of(settings: SearchSettings, progress: bool | None, note: Callable[[str], None] | None = None) -> Evaluator:
    """What settings describe, opened: network, data, calibration."""
    from lowbit.evaluation.run import open_network, open_split
    from lowbit.tracer import trace
    from lowbit.zoo import load_preprocessing, short_name

    told = note or (lambda text: say(text, progress))
    plan = settings.evaluation
    model, example = open_network(plan)
    preprocessing = plan.preprocessing or (load_preprocessing(plan.network) if plan.data else None)
    calibrating, data = open_split(plan, example[0].shape, preprocessing)
    graph = trace(model, example, name=short_name(plan.network))
    space = settings.space.of(graph)
    told(f"{graph.name}: {data.description}; {len(space.dimensions)} dimensions, {space.size:,} plans")
    calibration = calibrate(graph, samples=calibrating.take(plan.calibration), progress=progress)
    return make_evaluator(
        graph,
        calibration,
        data.take(settings.images),
        settings.space,
        method=settings.methods if len(settings.methods) != 1 else settings.methods[0],
        whole=settings.whole,
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


def opened_of(settings: SearchSettings, evaluator: Evaluator, progress: bool | None) -> Opened:
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
        heartbeat=settings.heartbeat,
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
    heartbeat: float | None = None,
) -> SearchResult:
    """Works at a study that somebody began, on this machine, until it has its trials.  ``data``, ``calib_data``: where the same
    images lie here.  Raises ConfigError where the network, the images or the machine are others."""
    with quiet_optuna():
        settings = settings_of(open_study(open_storage(storage), study))
        given: dict[str, Any] = {"data": data, "calib_data": calib_data, "threads": threads, "heartbeat": heartbeat}
        settings = replace(settings, storage=storage, **{key: value for key, value in given.items() if value is not None})
        opened = opened_of(settings, evaluator_of(settings, progress, note), progress)
        return finish(opened, 1, timeout, progress)


def settings_of(study: Study) -> SearchSettings:
    """Raises ConfigError for a study that was made from Python objects."""
    held = study.user_attrs[ATTRIBUTE]["settings"]
    if held is None:
        raise ConfigError(
            f"study {study.study_name!r} was made by lowbit.search from Python objects, which cannot be opened from here; call "
            "lowbit.search with the same storage"
        )
    return SearchSettings.from_json(held)
