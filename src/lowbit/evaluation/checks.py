"""What of labelled samples cannot be right (an error), and what looks wrong (words for a warning)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lowbit.data import Batch, Dataset
from lowbit.errors import DataError
from lowbit.evaluation.networks import CompiledRunner, Runner
from lowbit.measure.scores import Outcomes
from lowbit.measure.signal import input_ranges as graph_ranges
from lowbit.runtime import Compiled

__all__ = ["calibration_notes", "check_batch", "check_labels", "input_ranges", "range_notes", "suspicions"]

_FEW_CALIBRATION, _FEW_EVALUATION = 32, 100
_UNBALANCED = 10  # times as many samples of one class as of another
_OUTSIDE, _UNUSED = 0.05, 0.125
_SAME = "is it preprocessed the same way?"


def check_batch(runner: Runner, batch: Batch, data: Dataset) -> None:
    """Raises DataError where the samples are not what the network reads, with what would make them so."""
    if runner.shapes is None:
        return
    if len(batch.inputs) != len(runner.shapes):
        raise DataError(f"{runner.name} reads {len(runner.shapes)} inputs, {data.description} yields {len(batch.inputs)}")
    for index, (value, shape) in enumerate(zip(batch.inputs, runner.shapes, strict=True)):
        got, want = value.shape[1:], tuple(shape[1:])
        if got != want:
            raise DataError(
                f"{data.where(batch.positions[0])} of {data.description}: input {index} has shape {got}, {runner.name} reads "
                f"{want}{_advice(got, want)}"
            )


def _advice(got: tuple[int, ...], want: tuple[int, ...]) -> str:
    if len(got) == len(want) == 3:
        if (*got[2:], *got[:2]) == want:
            return ": these are channels last; transpose them to channels first"
        if got[0] != want[0] and got[1:] == want[1:]:
            return f": {got[0]} channels where {want[0]} are read"
        if got[0] == want[0]:
            return f": give the images another size (--size {want[1]}x{want[2]}), or the network another input"
    if (1, *got) == want:
        return ": the axis of the one channel is missing"
    return ""


def check_labels(logits: np.ndarray, batch: Batch, data: Dataset) -> None:
    """Raises DataError for a label that is no index of the network's outputs."""
    classes = logits.shape[1] if logits.ndim > 1 else 0
    wrong = np.flatnonzero(batch.labels >= classes)
    if not wrong.size or not classes:
        return
    known = data.labels
    from_one = known is not None and known.min() == 1 and known.max() == classes
    raise DataError(
        f"{data.where(batch.positions[wrong[0]])} of {data.description} has label {batch.labels[wrong[0]]}, the network has "
        f"{classes} classes, labels 0..{classes - 1}" + ("; these count from 1: subtract 1" if from_one else "")
    )


def input_ranges(runner: Runner) -> list[tuple[str, tuple[float, float] | None]]:
    """(name, smallest and largest number its integers stand for) of each input; None where it is not rounded."""
    if not isinstance(runner, CompiledRunner) or not isinstance(runner.network, Compiled):
        return []
    graph = runner.network.graph()
    ranges: Mapping[str, tuple[float, float]] = graph_ranges(graph)
    return [(name, ranges.get(name)) for name in graph.inputs]


def range_notes(ranges: Sequence[tuple[str, tuple[float, float] | None]], batch: Batch) -> list[str]:
    """Inputs that are not what the network was calibrated for: many outside its range, or all in a corner of it."""
    notes = []
    for (name, bounds), value in zip(ranges, batch.inputs, strict=False):
        if bounds is None:
            continue
        low, high = bounds
        margin = 0.02 * (high - low)
        outside = float(np.mean((value < low - margin) | (value > high + margin)))
        found = f"from {value.min():.4g} to {value.max():.4g}, calibrated for {low:.4g} to {high:.4g}"
        if outside > _OUTSIDE:
            notes.append(f"{100 * outside:.0f} % of input {name!r} are outside its range: {found}; {_SAME}")
        elif value.max() - value.min() < _UNUSED * (high - low):
            notes.append(f"input {name!r} is {found}: little of the range is used; {_SAME}")
    return notes


def suspicions(outcomes: Outcomes, is_float: bool) -> list[str]:
    """Few samples, answers near chance or all the same, outputs that are not finite."""
    notes, n = [], outcomes.count
    which, chance = "float top-1" if is_float else "top-1", 1 / outcomes.classes
    if n < _FEW_EVALUATION:
        notes.append(f"{n} samples say little: the standard error of top-1 is {100 * outcomes.top1_error:.1f} points")
    if n >= _FEW_CALIBRATION and outcomes.top1 <= chance + 3 * math.sqrt(chance * (1 - chance) / n):
        notes.append(
            f"{which} is {100 * outcomes.top1:.1f} %, chance alone gives {100 * chance:.1f} %: the preprocessing (scale, mean, "
            "std, order of the channels) or the labels are probably not those the network was trained with"
        )
    if n > 1 and len(np.unique(outcomes.predictions)) == 1 and len(np.unique(outcomes.labels)) > 1:
        notes.append(f"every sample is predicted as class {outcomes.predictions[0]}")
    if bad := int(np.isnan(outcomes.losses).sum()):
        notes.append(f"outputs are not finite for {bad:,} samples, which count as wrong")
    return notes


def calibration_notes(labels: np.ndarray, classes: Sequence[int]) -> list[str]:
    """What is wrong with samples of these ``labels`` as calibration of a network that is judged on ``classes``."""
    notes = []
    values, counts = np.unique(labels, return_counts=True)
    if len(labels) < _FEW_CALIBRATION:
        notes.append(f"{len(labels)} samples calibrate; ranges from fewer than {_FEW_CALIBRATION} depend on which they are")
    missing = [label for label in classes if label not in values]
    if len(missing) > len(classes) / 2 and len(labels) >= 2 * len(classes):
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        notes.append(f"calibration has samples of {len(values)} of {len(classes)} classes; none of {some}")
    elif len(values) and len(labels) >= 20 * len(values) and counts.max() > _UNBALANCED * counts.min():
        notes.append(
            f"calibration is unbalanced: {counts.max()} samples of class {values[counts.argmax()]}, "
            f"{counts.min()} of class {values[counts.argmin()]}"
        )
    return notes
