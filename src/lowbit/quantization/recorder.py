"""What calibration keeps of the values it sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.errors import CalibrationError
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.quantization.observers import Histogram
from lowbit.quantization.plan import quantized_values

__all__ = ["Recorder", "layer_inputs"]


def layer_inputs(graph: Graph) -> dict[str, tuple[str, int]]:
    """Layer -> the activation it reads and which of its axes are the channels; layers that read constants are left out."""
    layers = [node for node in graph.nodes if node.op in LAYERS and node.inputs[0] not in graph.constants]
    axes = {node.name: 1 if node.op == "conv2d" else len(graph.types[node.inputs[0]].shape) - 1 for node in layers}
    return {node.name: (node.inputs[0], axes[node.name]) for node in layers}


class Recorder:
    """Called with every value of the float graph, batch after batch.

    ``histograms``: value whose range decides a scale -> Histogram.  ``input_means()``: layer -> mean of
    each of its input channels, float64.  ``real``: rows of the batch that count (the rest fill it up);
    where the batch is not axis 0 the filling, copies of real rows, counts in proportion.
    """

    def __init__(self, graph: Graph) -> None:
        self.histograms = {name: Histogram() for name in quantized_values(graph)}
        self.batch = (*graph.types[graph.inputs[0]].shape, 1)[0]
        self.rows = 0  # seen in earlier batches
        self.real = self.batch
        self._readers: dict[str, list[tuple[str, int]]] = {}
        for layer, (name, axis) in layer_inputs(graph).items():
            self._readers.setdefault(name, []).append((layer, axis))
        self._sums: dict[str, np.ndarray] = {}

    def __call__(self, name: str, value: Any) -> None:
        """Raises CalibrationError for a value that is not finite."""
        if name not in self.histograms and name not in self._readers:
            return
        values = value.numpy()
        if not np.isfinite(values).all():
            last = self.rows + self.real - 1
            raise CalibrationError(f"value {name!r} is NaN or infinite for calibration rows {self.rows} to {last}")
        weight = 1.0
        if values.ndim and values.shape[0] == self.batch:
            values = values[: self.real]
            rows, count = np.split(values, self.real), 1
        else:
            rows, weight, count = [values], self.real / self.batch, self.real
        for row in rows:  # one at a time: what is kept does not depend on how rows were gathered
            self._add(name, row, weight, count)

    def _add(self, name: str, values: np.ndarray, weight: float, rows: int) -> None:
        if name in self.histograms:
            self.histograms[name].add(values, weight)
        for layer, axis in self._readers.get(name, ()):
            others = tuple(d for d in range(values.ndim) if d != axis)
            self._sums[layer] = self._sums.get(layer, 0.0) + values.mean(others, dtype=np.float64) * rows

    def input_means(self) -> dict[str, np.ndarray]:
        return {layer: total / self.rows for layer, total in self._sums.items()}
