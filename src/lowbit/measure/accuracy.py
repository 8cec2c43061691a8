"""Accuracy beside the float network on the same inputs, and how far chance alone may move it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowbit.errors import InputError

__all__ = ["Agreement", "agreement", "cosine", "response", "standard_error", "top1"]


@dataclass(frozen=True)
class Agreement:
    """Two classifiers on the same ``count`` labelled images; all shares in [0, 1].

    ``same``: share of images with the same prediction.  ``difference`` = top1 - reference_top1, and
    ``difference_error`` is the standard error of that paired difference: with per-image differences
    d in {-1, 0, 1}, sqrt(var(d) / count).  It is smaller than each top-1's own error, because both
    networks saw the same images.
    """

    count: int
    top1: float
    reference_top1: float
    same: float
    difference_error: float

    @property
    def difference(self) -> float:
        return self.top1 - self.reference_top1

    @property
    def top1_error(self) -> float:
        return standard_error(self.top1, self.count)

    @property
    def reference_error(self) -> float:
        return standard_error(self.reference_top1, self.count)


def standard_error(share: float, count: int) -> float:
    """sqrt(p (1 - p) / n): the standard error of a share p over n independent images."""
    return math.sqrt(max(share * (1 - share), 0.0) / count)


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of ``logits`` (N, classes) whose largest entry is at ``labels`` (N,)."""
    return float(np.mean(logits.argmax(-1) == labels))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """<a, b> / (|a| |b|) over all elements, in float64; 0 when either is zero or not finite."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not math.isfinite(norm) or norm == 0:
        return 0.0
    return float(np.clip(a @ b / norm, -1.0, 1.0))


def response(outputs: np.ndarray) -> np.ndarray:
    """Outputs (N, ...) minus their mean over the N inputs: the part that depends on the input at all."""
    values = np.asarray(outputs, np.float64)
    return values - values.mean(0, keepdims=True)


def agreement(logits: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> Agreement:
    """Compare two (N, classes) arrays of logits on the same N images.

    Raises InputError when the shapes differ or there is no image.
    """
    if logits.shape != reference.shape or len(labels) != len(logits) or not len(labels):
        raise InputError(
            f"cannot compare logits {logits.shape} with {reference.shape} on {len(labels)} labels; "
            "both must be (N, classes) with N >= 1 labels"
        )
    hit = (logits.argmax(-1) == labels).astype(np.float64)
    reference_hit = (reference.argmax(-1) == labels).astype(np.float64)
    return Agreement(
        count=len(labels),
        top1=float(hit.mean()),
        reference_top1=float(reference_hit.mean()),
        same=float(np.mean(logits.argmax(-1) == reference.argmax(-1))),
        difference_error=float((hit - reference_hit).std() / math.sqrt(len(labels))),
    )
