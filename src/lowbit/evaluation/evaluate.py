"""Networks on labelled samples: one reading of the data, any number of networks beside one reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from lowbit.data import Batch, Dataset, as_dataset
from lowbit.errors import ConfigError, DataWarning, warn
from lowbit.evaluation.checks import check_batch, check_labels, input_ranges, range_notes, suspicions
from lowbit.evaluation.networks import Runner, open_runner
from lowbit.evaluation.report import EvaluationReport
from lowbit.measure.scores import Outcomes, outcomes_of
from lowbit.progress import stage

__all__ = ["evaluate", "evaluate_all"]

_ROWS, _LEAST = 50, 16  # samples read at once where no network says how many, and at least


def evaluate(
    network: Any,
    dataset: Any,
    *,
    reference: Any = None,
    preprocessing: Callable[[np.ndarray], np.ndarray] | None = None,
    limit: int | None = None,
    progress: bool | None = None,
) -> EvaluationReport:
    """Top-1, top-5 and cross entropy of a classifier on labelled samples, beside ``reference`` on the same ones.

    ``network``: compiled (``lowbit.compile``, ``lowbit.load``) or a torch.nn.Module, which is in evaluation mode meanwhile;
    its first output is (samples, classes).  ``dataset``: a lowbit.data.Dataset, or what lowbit.data.as_dataset takes: a folder,
    an .npz, ``module:factory``, (images, labels), a loader of (x, labels), with ``preprocessing`` for pixels; labels are class
    numbers from 0 on.  ``reference``: the float module, or a compiled network.  ``limit``: samples; None: all.

    Interrupted (KeyboardInterrupt) after the first batch, it returns what is known by then: ``complete`` is False.
    Raises DataError naming the file or the sample that cannot be right, ConfigError; warns (DataWarning) of what looks wrong.
    """
    return evaluate_all({"": network}, dataset, reference=reference, preprocessing=preprocessing, limit=limit, progress=progress)[
        ""
    ]


def evaluate_all(
    networks: Mapping[str, Any],
    dataset: Any,
    *,
    reference: Any = None,
    preprocessing: Callable[[np.ndarray], np.ndarray] | None = None,
    limit: int | None = None,
    progress: bool | None = None,
    watch: Callable[[Batch], None] | None = None,
) -> dict[str, EvaluationReport]:
    """:func:`evaluate` for several networks, batch by batch on the very same arrays; the data is read once and the reference
    computed once.  ``watch`` is called with each batch, too."""
    if not networks:
        raise ConfigError("no network to evaluate")
    data = as_dataset(dataset, preprocessing).take(limit)
    with ExitStack() as stack:
        runners = {key: stack.enter_context(open_runner(network)) for key, network in networks.items()}
        float_runner = None if reference is None else stack.enter_context(open_runner(reference))
        seen, notes, complete = _run(data, runners, float_runner, progress, watch)
    joined = {key: Outcomes.joined(parts) for key, parts in seen.items()}
    float_outcomes = joined.pop(None, None)
    for text in (more := suspicions(float_outcomes or next(iter(joined.values())), float_outcomes is not None)):
        warn(f"{data.description}: {text}", DataWarning)
    return {
        key: EvaluationReport(
            runners[key].name,
            data.description,
            outcomes,
            float_outcomes,
            complete,
            outcomes.count if complete else data.count,
            runners[key].seconds,
            0.0 if float_runner is None else float_runner.seconds,
            data.classes,
            (*notes[key], *more),
        )
        for key, outcomes in joined.items()
        if key is not None
    }


Seen = dict[str | None, list[Outcomes]]  # None: the reference


def _run(
    data: Dataset,
    runners: Mapping[str, Runner],
    reference: Runner | None,
    progress: bool | None,
    watch: Callable[[Batch], None] | None,
) -> tuple[Seen, dict[str, list[str]], bool]:
    """Outcomes by network, batch by batch, all of the same batches; what looked wrong; whether all samples were seen."""
    everyone: dict[str | None, Runner] = dict(runners.items())
    if reference is not None:
        everyone[None] = reference
    rows = max(runner.rows or 0 for runner in everyone.values()) or _ROWS
    rows *= -(-_LEAST // rows)
    seen: Seen = {key: [] for key in everyone}
    notes: dict[str, list[str]] = {key: [] for key in runners}
    try:
        with stage("evaluate", data.count, progress) as advance:
            for batch in data.batches(rows):
                if watch is not None:
                    watch(batch)
                results = {key: _outcomes(runner, batch, data) for key, runner in everyone.items()}
                if not seen[next(iter(seen))]:
                    notes = {key: range_notes(input_ranges(runner), batch) for key, runner in runners.items()}
                for key, outcomes in results.items():
                    seen[key].append(outcomes)
                advance(len(batch))
    except KeyboardInterrupt:
        if not all(seen.values()):
            raise
        _level(seen)
        return seen, notes, False
    if not all(seen.values()):
        raise ConfigError(f"{data.description}: no sample to evaluate")
    for text in dict.fromkeys(text for texts in notes.values() for text in texts):
        warn(f"{data.description}: {text}", DataWarning)
    return seen, notes, True


def _level(seen: Seen) -> None:
    """Drops what only some networks saw when they were interrupted."""
    common = min(len(parts) for parts in seen.values())
    for parts in seen.values():
        del parts[common:]


def _outcomes(runner: Runner, batch: Batch, data: Dataset) -> Outcomes:
    check_batch(runner, batch, data)
    logits = runner(batch.inputs)
    check_labels(logits, batch, data)
    return outcomes_of(logits, batch.labels)
