"""Runs the float network over samples and keeps a histogram of every value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from lowbit.errors import CalibrationError
from lowbit.graph import Graph
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.observers import Histogram
from lowbit.quantization.plan import layer_precisions, value_grids
from lowbit.quantization.recorder import Recorder

__all__ = ["Calibration", "calibrate", "random_samples"]


@dataclass(frozen=True)
class Calibration:
    """``histograms``: value of the graph -> what was seen of it; ``input_means``: layer -> mean of each of
    its input channels; ``rows``: how many examples were seen.

    Independent of any configuration: one calibration serves every precision."""

    histograms: Mapping[str, Histogram]
    input_means: Mapping[str, np.ndarray]
    rows: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "histograms", MappingProxyType(dict(self.histograms)))
        object.__setattr__(self, "input_means", MappingProxyType(dict(self.input_means)))


def calibrate(
    graph: Graph,
    samples: Iterable[Any],
    config: QuantizationConfig | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Observes the values of a float graph over ``samples``.

    A sample is a batch (any number of rows along axis 0) or one example without that axis: an array or
    tensor; for several inputs a tuple or list in the order of the inputs, or a dict by their names.
    What follows the inputs in a tuple, such as a label, is ignored.  Rows are gathered to the graph's own
    batch size; the last batch is filled up by repeating rows, which are not counted.
    ``config`` changes nothing of what is observed; a configuration that does not fit the graph is
    refused before the samples are run.  ``progress(rows)`` is called after each batch.  Raises
    CalibrationError: no samples, a wrong shape, a sample that is not finite (naming its index), or one
    for which a value inside the network is not.
    """
    import torch

    from lowbit.frontend import evaluate

    if config is not None:
        layer_precisions(graph, config)
    recorder = Recorder(graph)
    for inputs, real in _batches(graph, samples, recorder.batch):
        recorder.real = real
        evaluate(graph, [torch.from_numpy(value) for value in inputs], recorder)
        recorder.rows += real
        if progress is not None:
            progress(recorder.rows)
    if not recorder.rows:
        raise CalibrationError(f"{graph.name}: no calibration samples; give at least one batch")
    grid, histograms = value_grids(graph), recorder.histograms
    for node in graph.nodes:
        if node.op == "pad" and grid[node.name] in histograms and np.isfinite(node.attrs["value"]):
            histograms[grid[node.name]].add(np.array([node.attrs["value"]], np.float32), 0.0)  # its range shall hold the padding
    return Calibration(histograms, recorder.input_means(), recorder.rows)


def random_samples(graph: Graph, seed: int, count: int) -> list[tuple[np.ndarray, ...]]:
    """``count`` batches of standard normal inputs: for timing a network without data, not for accuracy."""
    generator = np.random.default_rng(seed)
    return [tuple(generator.standard_normal(graph.types[name].shape, np.float32) for name in graph.inputs) for _ in range(count)]


def _batches(graph: Graph, samples: Iterable[Any], batch: int) -> Iterator[tuple[list[np.ndarray], int]]:
    """(inputs with exactly ``batch`` rows, how many of them are real)."""
    pending: list[list[np.ndarray]] = []
    waiting = 0
    common = len({graph.types[name].shape[:1] for name in graph.inputs}) == 1
    for index, sample in enumerate(samples):
        if not common:  # inputs of different lengths have no batch axis: a sample is one whole run
            yield _whole_run(graph, sample, index), batch
            continue
        pending.append(_sample_rows(graph, sample, index))
        waiting += len(pending[-1][0])
        while waiting >= batch:
            joined = [np.concatenate(parts) for parts in zip(*pending, strict=True)]
            yield [value[:batch] for value in joined], batch
            pending, waiting = [[value[batch:] for value in joined]], waiting - batch
    if waiting:
        joined = [np.concatenate(parts) for parts in zip(*pending, strict=True)]
        yield [value[np.arange(batch) % waiting] for value in joined], waiting


def _sample_rows(graph: Graph, sample: Any, index: int) -> list[np.ndarray]:
    """The inputs in one sample, float32, all with the same number of rows."""
    inputs = _sample_inputs(graph, sample, index)
    if len({len(array) for array in inputs}) > 1:
        raise CalibrationError(f"calibration sample {index}: inputs have {[len(a) for a in inputs]} rows")
    return inputs


def _whole_run(graph: Graph, sample: Any, index: int) -> list[np.ndarray]:
    """The inputs in one sample, of exactly the graph's shapes."""
    inputs = _sample_inputs(graph, sample, index)
    shapes = [graph.types[name].shape for name in graph.inputs]
    if [array.shape for array in inputs] != shapes:
        raise CalibrationError(f"calibration sample {index}: inputs have shapes {[a.shape for a in inputs]}, must be {shapes}")
    return inputs


def _sample_inputs(graph: Graph, sample: Any, index: int) -> list[np.ndarray]:
    """The inputs in one sample, float32, of the graph's shapes but for the number of rows."""
    names = graph.inputs
    if isinstance(sample, Mapping):
        given = [sample[name] for name in names] if set(names) <= set(sample) else list(sample.values())
    else:
        given = list(sample) if isinstance(sample, tuple | list) else [sample]
    if len(given) < len(names):
        raise CalibrationError(f"calibration sample {index} has {len(given)} inputs, {graph.name} takes {len(names)}")
    inputs = []
    for name, value in zip(names, given, strict=False):
        shape = tuple(graph.types[name].shape)
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "fiub":
            raise CalibrationError(f"calibration sample {index}: input {name!r} is {array.dtype}, must be numbers")
        array = array.astype(np.float32)
        if array.shape == shape[1:]:
            array = array[None]
        if array.shape[1:] != shape[1:] or array.ndim != len(shape):
            raise CalibrationError(
                f"calibration sample {index}: input {name!r} has shape {array.shape}, the network takes {shape} (any batch size)"
            )
        if not np.isfinite(array).all():
            raise CalibrationError(f"calibration sample {index}: input {name!r} holds NaN or infinity")
        inputs.append(array)
    return inputs
