"""Calibration samples in every form that loaders yield, gathered to the graph's batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lowbit.errors import CalibrationError
from lowbit.graph import Graph

__all__ = ["batches"]


def batches(graph: Graph, samples: Iterable[Any], batch: int) -> Iterator[tuple[list[np.ndarray], int]]:
    """(inputs with exactly ``batch`` rows, how many of them are real)."""
    pending: list[list[np.ndarray]] = []
    waiting = 0
    leading = {graph.types[name].shape[:1] for name in graph.inputs}
    common = len(leading) == 1 and leading != {()}
    for index, sample in enumerate(samples):
        if not common:  # inputs of different lengths, or without axes, have no batch axis: a sample is one whole run
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
    inputs = []
    for name, value in zip(graph.inputs, _in_order(graph, sample, index), strict=False):
        shape = tuple(graph.types[name].shape)
        array = _array(value, name, index)
        if shape and array.shape == shape[1:]:
            array = array[None]
        if array.shape[1:] != shape[1:] or array.ndim != len(shape) or 0 in array.shape[:1]:
            raise CalibrationError(
                f"calibration sample {index}: input {name!r} has shape {array.shape}, "
                f"the network takes {shape} (any batch size from 1 on)"
            )
        if not np.isfinite(array).all():
            raise CalibrationError(f"calibration sample {index}: input {name!r} holds NaN or infinity")
        inputs.append(array)
    return inputs


def _in_order(graph: Graph, sample: Any, index: int) -> list[Any]:
    """The values of one sample in the order of the inputs: a dict's by their names, a tuple's as they stand.

    A dict of one value serves a network of one input whatever its key.
    """
    names = graph.inputs
    if isinstance(sample, Mapping):
        if len(names) == len(sample) == 1:
            return list(sample.values())
        if missing := [name for name in names if name not in sample]:
            raise CalibrationError(
                f"calibration sample {index} has no {', '.join(map(repr, missing))} among its keys "
                f"{', '.join(map(repr, sample))}; the inputs of {graph.name} are {', '.join(names)}"
            )
        return [sample[name] for name in names]
    given = list(sample) if isinstance(sample, tuple | list) else [sample]
    if len(given) < len(names):
        raise CalibrationError(
            f"calibration sample {index} has {len(given)} inputs, {graph.name} takes {len(names)}: {', '.join(names)}"
        )
    return given


def _array(value: Any, name: str, index: int) -> np.ndarray:
    """A tensor or an array of numbers of any type and layout as float32."""
    where = f"calibration sample {index}: input {name!r}"
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.dequantize() if value.is_quantized else value
            value = (value if str(value.layout) == "torch.strided" else value.to_dense()).resolve_neg()
            value = value.float() if value.is_floating_point() else value  # numpy has no bfloat16
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise CalibrationError(f"{where} cannot be read as an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise CalibrationError(f"{where} is {array.dtype}, must be numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)
