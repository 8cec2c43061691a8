"""Whether a network keeps its signal at the precision it was given: measured where there are samples, and warned of."""

from __future__ import annotations

import numpy as np

from lowbit.errors import CalibrationWarning, PrecisionWarning, warn
from lowbit.graph import Graph
from lowbit.measure.noise import Noise, measure_noise
from lowbit.measure.noise_notes import noise_notes, padding_notes, sample_notes

__all__ = ["check_precision"]


def check_precision(graph: Graph, integer: Graph, samples: tuple[np.ndarray, ...]) -> Noise | None:
    """Measure the rounding errors of ``integer``, made of the float ``graph``, on the first of ``samples`` (rows of each input).

    Warns (PrecisionWarning) of layers and outputs that lose much of their signal and of padding that one bit does not have,
    (CalibrationWarning) of samples that are all the same.  None without samples.
    """
    for text in padding_notes(integer):
        warn(f"{graph.name}: {text}", PrecisionWarning)
    if not samples:
        return None
    for text in sample_notes(samples):
        warn(f"{graph.name}: {text}", CalibrationWarning)
    noise = measure_noise(graph, integer, samples)
    for text in noise_notes(noise, graph):
        warn(f"{graph.name}: {text}", PrecisionWarning)
    return noise
