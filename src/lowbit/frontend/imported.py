"""A network that was read from a file, as a module: what takes modules takes it too."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from lowbit.errors import ConfigError
from lowbit.frontend.evaluation import evaluate
from lowbit.graph import Graph

__all__ = ["ImportedNetwork"]

Shapes = dict[str, tuple[int, ...]]


class ImportedNetwork(torch.nn.Module):
    """``forward`` is the float graph of the file, evaluated with torch in the type of the inputs; for inputs of other shapes
    than those it was opened with, the file is read again with these.

    ``source``: a ``.onnx`` file or a ModelProto.  ``example_inputs``: tensors in order, or input -> shape or tensor; needed where
    the file leaves extents free.  Raises what :func:`lowbit.frontend.onnx.walk.import_onnx` raises.
    """

    def __init__(self, source: Any, example_inputs: Any = None, name: str | None = None) -> None:
        super().__init__()
        self.source = os.fspath(source) if isinstance(source, (str, os.PathLike)) else source
        self.graphs: list[Graph] = []
        self.graph_for(example_inputs, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> ImportedNetwork:
        return self  # nothing here is ever changed

    def graph_for(self, example_inputs: Any = None, name: str | None = None) -> Graph:
        """The float graph for inputs of these shapes; the first one made without any."""
        wanted = _shapes(example_inputs)
        for graph in self.graphs:
            if wanted is None or _fits(wanted, {given: graph.types[given].shape for given in graph.inputs}):
                return graph if name is None else replace(graph, name=name)
        from lowbit.frontend.onnx.walk import import_onnx

        self.graphs.append(import_onnx(self.source, wanted, name))
        return self.graphs[-1]

    def example_inputs(self) -> tuple[torch.Tensor, ...]:
        """Zeros of the shapes it was opened with."""
        graph = self.graphs[0]
        return tuple(torch.zeros(graph.types[name].shape) for name in graph.inputs)

    def forward(self, *inputs: torch.Tensor) -> Any:
        outputs = evaluate(self.graph_for(inputs), inputs, dtype=inputs[0].dtype)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _fits(wanted: list[tuple[int, ...]] | Shapes, shapes: Shapes) -> bool:
    return wanted == list(shapes.values()) if isinstance(wanted, list) else wanted.items() <= shapes.items()


def _shapes(given: Any) -> list[tuple[int, ...]] | Shapes | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {str(name): _shape(value) for name, value in given.items()}
    values = given if isinstance(given, (list, tuple)) else [given]
    return [_shape(value) for value in values]


def _shape(given: Any) -> tuple[int, ...]:
    shape = tuple(given.shape if hasattr(given, "shape") else given) if not isinstance(given, (str, int)) else ()
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ConfigError(f"{given!r} is no shape: for ONNX give example_inputs as tensors, or as input -> (1, 3, 224, 224)")
    return sizes
