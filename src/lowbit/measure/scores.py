"""How a classifier did on labelled samples, alone and beside another on the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lowbit.errors import InputError
from lowbit.measure.accuracy import standard_error

__all__ = ["ClassFigures", "Comparison", "Outcomes", "compare", "outcomes_of", "per_class"]

_TOP = 5


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One classifier on n samples.  ``predictions``: the largest entry of each, int64 (n,); ``ranks``: how many entries come
    before the label's (0: it is the prediction), int64 (n,); ``losses``: -log softmax(logits)[label], float64 (n,), NaN where
    the logits are not finite, which counts as wrong.  ``classes``: entries of the logits.  ``labels``: int64 (n,).
    """

    labels: np.ndarray
    predictions: np.ndarray
    ranks: np.ndarray
    losses: np.ndarray
    classes: int

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Those of several batches in order; at least one."""
        names = ("labels", "predictions", "ranks", "losses")
        labels, predictions, ranks, losses = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(labels, predictions, ranks, losses, parts[0].classes)

    @property
    def count(self) -> int:
        return len(self.labels)

    @cached_property
    def top1(self) -> float:
        """Share of samples whose label has the largest entry."""
        return float(np.mean(self.ranks == 0))

    @property
    def top1_error(self) -> float:
        """sqrt(p (1 - p) / n)."""
        return standard_error(self.top1, self.count)

    @cached_property
    def top5(self) -> float | None:
        """Share of samples whose label is among the five largest; None where there are no more than five classes."""
        return float(np.mean(self.ranks < _TOP)) if self.classes > _TOP else None

    @property
    def top5_error(self) -> float | None:
        return None if self.top5 is None else standard_error(self.top5, self.count)

    @cached_property
    def loss(self) -> float:
        """Mean cross entropy, in nats."""
        return float(self.losses.mean())

    @property
    def loss_error(self) -> float:
        """Standard deviation of the losses / sqrt(n)."""
        return float(self.losses.std() / math.sqrt(self.count))

    def to_json(self) -> dict[str, Any]:
        names = ("top1", "top1_error", "top5", "top5_error", "loss", "loss_error")
        return {name: getattr(self, name) for name in names}


def outcomes_of(logits: np.ndarray, labels: np.ndarray) -> Outcomes:
    """``logits`` (n, classes), or with further axes of length 1; ``labels``: int64 (n,), all below classes.

    Equal entries stand in the order of their index, as for argmax.  Raises InputError for another shape.
    """
    if logits.ndim < 2 or math.prod(logits.shape[2:]) != 1 or len(logits) != len(labels):
        raise InputError(f"an output of shape {logits.shape} for {len(labels)} samples; accuracy needs (samples, classes)")
    values = logits.reshape(len(logits), -1).astype(np.float64)
    own = values[np.arange(len(labels)), labels][:, None]
    finite = np.isfinite(values).all(1)
    earlier = np.arange(values.shape[1]) < labels[:, None]
    ranks = np.where(finite, (values > own).sum(1) + ((values == own) & earlier).sum(1), values.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):
        largest = values.max(1, keepdims=True)
        losses = np.log(np.exp(values - largest).sum(1)) + (largest - own)[:, 0]
    return Outcomes(labels, values.argmax(1), ranks, np.where(finite, losses, np.nan), values.shape[1])


@dataclass(frozen=True)
class Comparison:
    """A classifier beside a reference on the same n samples, differences being its own less the reference's.

    ``difference`` of top-1 and ``difference_error`` = std(d) / sqrt(n) over the paired d in {-1, 0, 1}, smaller than either
    top-1's error since both saw the same samples; ``loss_difference`` likewise; ``agreement``: share of samples with the same
    prediction, sqrt(p (1 - p) / n) beside it.
    """

    difference: float
    difference_error: float
    loss_difference: float
    loss_difference_error: float
    agreement: float
    agreement_error: float


def compare(own: Outcomes, reference: Outcomes) -> Comparison:
    """Raises InputError unless both are of the same samples."""
    if not np.array_equal(own.labels, reference.labels):
        raise InputError(f"outcomes of {own.count} samples and of {reference.count} others cannot be compared")
    hits = (own.ranks == 0).astype(np.float64) - (reference.ranks == 0)
    losses, root = own.losses - reference.losses, math.sqrt(own.count)
    same = float(np.mean(own.predictions == reference.predictions))
    return Comparison(
        float(hits.mean()),
        float(hits.std() / root),
        float(losses.mean()),
        float(losses.std() / root),
        same,
        standard_error(same, own.count),
    )


@dataclass(frozen=True)
class ClassFigures:
    """The samples of one label.  ``top1``, ``reference_top1``: shares of them; ``confused``: the wrong prediction that most of
    them got, and how many did; None where all are right."""

    label: int
    name: str
    count: int
    top1: float
    reference_top1: float | None
    confused: tuple[int, int] | None


def per_class(own: Outcomes, reference: Outcomes | None = None, names: Sequence[str] = ()) -> tuple[ClassFigures, ...]:
    """One entry for each label that occurs, rising."""
    figures = []
    for label in np.unique(own.labels):
        rows = own.labels == label
        wrong = own.predictions[rows & (own.ranks > 0)]
        values, counts = np.unique(wrong, return_counts=True)
        figures.append(
            ClassFigures(
                int(label),
                names[label] if label < len(names) else "",
                int(rows.sum()),
                float(np.mean(own.ranks[rows] == 0)),
                None if reference is None else float(np.mean(reference.ranks[rows] == 0)),
                (int(values[counts.argmax()]), int(counts.max())) if wrong.size else None,
            )
        )
    return tuple(figures)
