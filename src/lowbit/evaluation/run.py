"""Every configuration of a plan, from one trace and one calibration, on the same samples as the float network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from math import prod
from typing import Any

import numpy as np

from lowbit.data import Batch, Dataset, open_data, read_labels
from lowbit.errors import ConfigError, DataWarning, warn
from lowbit.evaluation.checks import calibration_notes
from lowbit.evaluation.evaluate import evaluate_all
from lowbit.evaluation.plan import EvalPlan
from lowbit.evaluation.report import EvaluationReport

__all__ = ["AS_GIVEN", "open_network", "open_split", "run_eval"]

AS_GIVEN = "as given"
"""What stands for the precision of a network that was quantized elsewhere."""
_ELEMENTS, _BATCH = 1_500_000, 50  # of all inputs of a run, samples of a run: at most


def run_eval(plan: EvalPlan, say: Callable[[str], None] = lambda _: None, progress: bool | None = None) -> list[EvaluationReport]:
    """Compile every configuration from the calibration samples, run all on the others; one report for each.

    The reference is the PyTorch module itself, batch by batch on the very arrays the compiled networks get.  ``say`` hears one
    line about each step.  Interrupted while running, the reports are of what was seen (``complete`` is False).
    """
    from lowbit.compiler import compile as compile_network
    from lowbit.quantizer import calibrate
    from lowbit.tracer import trace
    from lowbit.zoo import load_preprocessing

    model, example = open_network(plan)
    preprocessing = plan.preprocessing or (load_preprocessing(plan.network) if plan.data else None)
    graph, parsed = trace(model, example, name=plan.network), plan.quantizations
    if graph.is_integer and plan.configs is None:
        parsed = {AS_GIVEN: None}
    elif graph.is_integer and any(parsed.values()):
        raise ConfigError(f"{plan.network} is quantized already and keeps its integers; leave --configs out")
    calibration_data, data = open_split(plan, example[0].shape, preprocessing, needed=any(parsed.values()))
    say(f"{plan.network}: {data.description}")
    watched = _Watched(calibration_data.take(plan.calibration))
    calibration = calibrate(graph, samples=watched, progress=progress) if any(parsed.values()) else None
    if calibration is not None and plan.data is not None:
        labels = data.labels
        for text in calibration_notes(watched.all_labels, [] if labels is None else np.unique(labels).tolist()):
            warn(f"{calibration_data.description}: {text}", DataWarning)
    networks = {}
    for config in parsed:
        networks[config] = compile_network(
            graph,
            config=parsed[config],
            calibration=calibration if parsed[config] else None,
            target=plan.target,
            threads=plan.threads,
            name=plan.network,
            progress=progress,
            method=plan.methods,
        )
        say(f"{plan.network} {config}: compiled")
    overlap = _Overlap(watched.digests if plan.calibration_data is not None else set(), data)
    with _torch_threads(plan.threads):
        reports = evaluate_all(networks, data, reference=model, limit=plan.limit, progress=progress, watch=overlap)
    overlap.tell()
    return [
        replace(
            reports[config],
            facts={
                "config": config,
                "calibration_images": calibration.rows if calibration and parsed[config] else 0,
                "method": plan.method if parsed[config] else None,
            },
        )
        for config in parsed
    ]


def open_network(plan: EvalPlan) -> tuple[Any, tuple[Any, ...]]:
    """The module and example inputs of the batch to compile for."""
    from lowbit.zoo import load_network

    model, example = load_network(plan.network, plan.input_shape)
    batch = plan.batch
    if batch is None and len(example) == 1 and example[0].ndim > 1:
        batch = max(1, min(_BATCH, _ELEMENTS // prod(example[0].shape[1:])))
    if batch is None or all(x.shape[:1] == (batch,) for x in example):
        return model, example
    if any(x.ndim < 2 for x in example):
        raise ConfigError(f"{plan.network}: its inputs {[tuple(x.shape) for x in example]} have no batch axis to make {batch} of")
    return model, tuple(x[:1].repeat(batch, *(1,) * (x.ndim - 1)) for x in example)


def open_split(
    plan: EvalPlan, shape: Sequence[int], preprocessing: Callable[[np.ndarray], np.ndarray] | None, needed: bool = True
) -> tuple[Dataset, Dataset]:
    """(for calibration, for evaluation): they share no sample.  Where no calibration is ``needed``, all of the data judge."""
    if plan.data is None:
        from lowbit.zoo import dataset

        return dataset(plan.network, "calib"), dataset(plan.network, "eval")
    labels = None if plan.labels is None else read_labels(plan.labels)
    channels = shape[1] if len(shape) == 4 else 3

    def opened(text: str) -> Dataset:
        return open_data(text, preprocessing, labels=labels, channels=channels)

    if plan.calibration_data is not None:
        return opened(plan.calibration_data), opened(plan.data)
    if not needed:
        return opened(plan.data), opened(plan.data)
    return opened(plan.data).split(plan.share)


class _Watched:
    """Calibration samples that remember their labels and what they looked like."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.labels: list[np.ndarray] = []
        self.digests: set[bytes] = set()

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in self.data.batches():
            self.labels.append(batch.labels)
            self.digests.update(_digests(batch))
            yield batch.inputs

    @property
    def all_labels(self) -> np.ndarray:
        return np.concatenate(self.labels)


def _digests(batch: Batch) -> list[bytes]:
    """What tells samples apart: a thousand of the values of each."""
    flat = batch.inputs[0].reshape(len(batch), -1)
    few = np.ascontiguousarray(flat[:, :: max(1, flat.shape[1] // 1000)])
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in few]


class _Overlap:
    """Counts samples that calibrated as well."""

    def __init__(self, known: set[bytes], data: Dataset) -> None:
        self.known, self.data = known, data
        self.count, self.first, self.seen = 0, "", 0

    def __call__(self, batch: Batch) -> None:
        self.seen += len(batch)
        for position, digest in zip(batch.positions, _digests(batch) if self.known else (), strict=False):
            if digest in self.known:
                self.first = self.first or self.data.where(position)
                self.count += 1

    def tell(self) -> None:
        if self.count:
            warn(
                f"{self.count:,} of the {self.seen:,} samples that judge calibrated as well, the first is {self.first}; "
                "figures on them flatter",
                DataWarning,
            )


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    """The float network gets as many threads as the compiled ones."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
