"""Runs the float network over samples and keeps a histogram of every value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np

from lowbit.errors import CalibrationError, CalibrationWarning, warn
from lowbit.graph import Graph
from lowbit.quantization.belonging import differences
from lowbit.quantization.calibration_store import read_parts, write_parts
from lowbit.quantization.config import QuantizationConfig
from lowbit.quantization.keep import Keep
from lowbit.quantization.observers import Histogram
from lowbit.quantization.plan import layer_precisions, quantized_values, value_grids
from lowbit.quantization.recorder import Recorder, layer_inputs
from lowbit.quantization.samples import batches

__all__ = ["Calibration", "calibrate", "random_samples"]


@dataclass(frozen=True)
class Calibration:
    """``histograms``: value of the graph -> what was seen of it; ``input_means``: layer -> mean of each of
    its input channels; ``rows``: how many examples were seen.  ``samples``: the first of these examples themselves, one
    float32 array a graph input, rows along axis 0, for methods that fit more than ranges; empty where none were kept.

    Independent of any configuration: one calibration serves every precision."""

    histograms: Mapping[str, Histogram]
    input_means: Mapping[str, np.ndarray]
    rows: int
    samples: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "histograms", MappingProxyType(dict(self.histograms)))
        object.__setattr__(self, "input_means", MappingProxyType(dict(self.input_means)))

    def save(self, path: str | PathLike[str]) -> None:
        """Everything in one file, samples included."""
        write_parts(path, (dict(self.histograms), dict(self.input_means), self.rows, self.samples))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Calibration:
        """What :meth:`save` wrote.  Raises CalibrationError for another file."""
        return cls(*read_parts(path))

    def check(self, graph: Graph) -> None:
        """Raises CalibrationError where another graph was observed, naming values and layers that are missing or unexpected."""
        channels = {layer: graph.types[name].shape[axis] for layer, (name, axis) in layer_inputs(graph).items()}
        found = {
            "values": differences(self.histograms, quantized_values(graph)),
            "layers": differences(self.input_means, channels),
            "channels": ", ".join(
                f"{layer!r} read {len(means)}, reads {channels[layer]}"
                for layer, means in self.input_means.items()
                if channels.get(layer, len(means)) != len(means)
            ),
        }
        if any(found.values()):
            text = "; ".join(f"{what} {names}" for what, names in found.items() if names)
            raise CalibrationError(f"{graph.name}: calibrated on another graph: {text}; calibrate the graph that is quantized")


def calibrate(
    graph: Graph,
    samples: Iterable[Any],
    config: QuantizationConfig | None = None,
    progress: Callable[[int], None] | None = None,
    keep: int | None = None,
) -> Calibration:
    """Observes the values of a float graph over ``samples``.

    A sample is a batch (any number of rows along axis 0) or one example without that axis: an array or
    tensor; for several inputs a tuple or list in the order of the inputs, or a dict by their names.
    What follows the inputs in a tuple, such as a label, and other keys of a dict are ignored.  Rows
    are gathered to the graph's own batch size; the last batch is filled up by repeating rows, which
    are not counted.
    ``config`` changes nothing of what is observed; a configuration that does not fit the graph is
    refused before the samples are run.  ``progress(rows)`` is called after each
    batch.  ``keep``: of how many rows the samples themselves are kept, the first ones; None: 2,048, of at most 256 MiB.  Of
    inputs without a common first axis none are.  What is observed does not depend on the batch size.  Warns
    (CalibrationWarning) of values that were the same number throughout.  Raises CalibrationError: no samples, a missing
    input, a wrong shape, a sample that is not finite (naming its index), or one for which a value inside the network is not.
    """
    import torch

    from lowbit.frontend import evaluate

    if config is not None:
        layer_precisions(graph, config)
    recorder, kept = Recorder(graph), Keep(graph, keep)
    for inputs, real in batches(graph, samples, recorder.batch):
        recorder.real = real
        kept.add(inputs, real)
        evaluate(graph, [torch.from_numpy(value) for value in inputs], recorder)
        recorder.rows += real
        if progress is not None:
            progress(recorder.rows)
    if not recorder.rows:
        raise CalibrationError(f"{graph.name}: no calibration samples; give at least one batch")
    _warn_of_constants(graph, recorder)
    grid, histograms = value_grids(graph), recorder.histograms
    for node in graph.nodes:
        if node.op == "pad" and grid[node.name] in histograms and np.isfinite(node.attrs["value"]):
            histograms[grid[node.name]].add(np.array([node.attrs["value"]], np.float32), 0.0)  # its range shall hold the padding
    return Calibration(histograms, recorder.input_means(), recorder.rows, kept.samples())


def _warn_of_constants(graph: Graph, recorder: Recorder) -> None:
    """Values that no sample changed have no range to speak of: data that failed to load is black."""
    seen = {name: h for name, h in recorder.histograms.items() if h.minimum == h.maximum and h.counts.sum() > 1}
    if not seen:
        return
    inputs = [name for name in seen if name in graph.inputs]
    first = [f"{name!r} was {h.minimum:g}" for name, h in sorted(seen.items(), key=lambda item: item[0] not in inputs)]
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    warn(
        f"{graph.name}: values that never varied in {recorder.rows} calibration rows: {', '.join(first[:_NAMED])}{more}; "
        + ("check what the loader yields: an input is constant" if inputs else "what follows them carries no signal"),
        CalibrationWarning,
    )


_NAMED = 5


def random_samples(graph: Graph, seed: int, count: int) -> list[tuple[np.ndarray, ...]]:
    """``count`` batches of standard normal inputs: for timing a network without data, not for accuracy."""
    generator = np.random.default_rng(seed)
    return [tuple(generator.standard_normal(graph.types[name].shape, np.float32) for name in graph.inputs) for _ in range(count)]
