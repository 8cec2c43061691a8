"""How far a quantized network is from the float one, on rows that no method fitted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lowbit.fake import execute
from lowbit.frontend.evaluation import compute
from lowbit.graph import Graph
from lowbit.graph.rebatch import mixes_rows, rebatch

__all__ = ["Judge", "float_outputs", "gives_logits", "integer_outputs"]

_CHUNK = 1 << 23  # elements of the largest value of a batch
_LINEAR = ("linear", "conv2d", "affine", "add", "sub", "reshape", "avg_pool2d", "resize", "interleave")


def _batches(graph: Graph, samples: Sequence[np.ndarray], whole: bool) -> Iterator[tuple[int, list[torch.Tensor]]]:
    """(rows that count, inputs); ``whole``: always of the graph's batch, the last one filled up."""
    most = max(math.prod(graph.types[node.name].shape[1:]) for node in graph.nodes)
    step = graph.types[graph.inputs[0]].shape[0] if whole else max(1, min(256, _CHUNK // max(most, 1)))
    count = len(samples[0])
    for i in range(0, count, step):
        real = min(step, count - i)
        rows = np.arange(i, i + step) % count if whole else np.arange(i, i + real)
        yield real, [torch.from_numpy(np.ascontiguousarray(value[rows])) for value in samples]


def _real(value: torch.Tensor, real: int, rows: int) -> np.ndarray:
    """The rows that count; all of an output without rows along axis 0."""
    return value.numpy()[:real] if value.shape[:1] == (rows,) else value.numpy()


def float_outputs(graph: Graph, samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the float network gives for these rows: one array an output."""
    whole, parts = bool(mixes_rows(graph)), []
    with torch.inference_mode():
        constants = {name: torch.from_numpy(value.copy()) for name, value in graph.constants.items()}
        for real, inputs in _batches(graph, samples, whole):
            values = {**constants, **dict(zip(graph.inputs, inputs, strict=True))}
            for node in graph.nodes:
                shape = graph.types[node.name].shape
                shape = shape if whole else (len(inputs[0]), *shape[1:])
                values[node.name] = compute(node, shape, *(values[name] for name in node.inputs))
            parts.append([_real(values[name], real, len(inputs[0])) for name in graph.outputs])
    return [np.concatenate(given) for given in zip(*parts, strict=True)]


def integer_outputs(graph: Graph, samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the integer network gives for these rows, exactly: one array an output."""
    whole, parts = bool(mixes_rows(graph)), []
    with torch.inference_mode():
        for real, inputs in _batches(graph, samples, whole):
            held = graph if whole else rebatch(graph, len(inputs[0]))
            parts.append([_real(value, real, len(inputs[0])) for value in execute(held, inputs)])
    return [np.concatenate(given) for given in zip(*parts, strict=True)]


def gives_logits(graph: Graph) -> bool:
    """Whether the one output is (N, at least 2) sums of products: what a classifier gives before its softmax."""
    if len(graph.outputs) != 1 or len(shape := graph.types[graph.outputs[0]].shape) != 2 or shape[1] < 2:
        return False
    try:
        return graph.node(graph.outputs[0]).op in _LINEAR
    except KeyError:  # an input
        return False


@dataclass(frozen=True)
class Judge:
    """``samples``: rows that judge; ``wanted``: what the float network gives for them; ``logits``: whether they are compared as
    distributions."""

    samples: tuple[np.ndarray, ...]
    wanted: tuple[np.ndarray, ...]
    logits: bool

    @classmethod
    def of(cls, graph: Graph, samples: Sequence[np.ndarray]) -> Judge:
        return cls(tuple(samples), tuple(float_outputs(graph, samples)), gives_logits(graph))

    @property
    def what(self) -> str:
        return "KL divergence from float" if self.logits else "squared error relative to float"

    def error(self, integer: Graph) -> float:
        """Of an integer graph: :meth:`distance` of its outputs."""
        return float(self.errors(integer).mean())

    def errors(self, integer: Graph) -> np.ndarray:
        """The same on each row: :meth:`distances`."""
        return self.distances(integer_outputs(integer, self.samples))

    def distance(self, got: Sequence[np.ndarray]) -> float:
        """Of outputs for the rows, from 0 on.  Logits: mean over the rows of KL(softmax(float) || softmax(quantized)) in nats;
        else sum |quantized - float|^2 / sum |float - its mean over the rows|^2, of all outputs together."""
        return float(self.distances(got).mean())

    def distances(self, got: Sequence[np.ndarray]) -> np.ndarray:
        """What each row has to do with it: :meth:`distance` is their mean.  One number where outputs do not consist of rows."""
        if self.logits:
            p, q = (_log_softmax(value) for value in (self.wanted[0], got[0]))
            return np.asarray((np.exp(p) * (p - q)).sum(1))
        rows = len(self.samples[0])
        rows = rows if all(len(value) % rows == 0 for value in self.wanted) else 1
        pairs = zip(self.wanted, got, strict=True)
        errors = sum(np.square(y.astype(np.float64) - x).reshape(rows, -1).sum(1) for x, y in pairs)
        power = sum(float(np.square(x.astype(np.float64) - x.mean(0)).sum()) for x in self.wanted)
        return np.asarray(errors * rows / power if power > 0 else errors * rows)


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64) - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))
