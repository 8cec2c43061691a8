"""Networks of any kind as canonical float graphs."""

from __future__ import annotations

from typing import Any, cast

from lowbit.errors import ConfigError
from lowbit.graph import Graph
from lowbit.stage_log import StageLog

__all__ = ["float_graph", "trace"]


def trace(model: Any, example_inputs: Any = None, name: str | None = None, log: StageLog | None = None) -> Graph:
    """A ``torch.nn.Module`` or an ONNX model as a canonical float graph: batch norms folded, activations and residuals fused;
    of a network that was quantized elsewhere, the integer graph of its own numbers.

    ``model``, ``example_inputs``: as in :func:`compile`.  Raises UnsupportedOperation (operation, line of the user's model or
    node of the file, what is supported), NumericsError (NaN or Inf weights), InputError (example inputs that are not float32
    tensors, a file that is damaged or leaves extents free).
    """
    from lowbit.frontend import import_model
    from lowbit.frontend.importing import has_shapes
    from lowbit.passes import PASSES
    from lowbit.quantization import integer_form, is_quantized

    if example_inputs is None and not has_shapes(model):
        raise ConfigError("example_inputs is needed: a float32 tensor or a tuple of them, with the shapes to compile for")
    watch = log or StageLog()
    graph = import_model(model, example_inputs, name)
    watch("import", graph)
    for step in PASSES:
        graph = step(graph)
        watch(step.__name__, graph)
    if is_quantized(graph):
        graph = integer_form(graph)
        watch("integer_form", graph)
    return graph


def float_graph(model: Any, example_inputs: Any = None, name: str | None = None, log: StageLog | None = None) -> Graph:
    """The graph to compile: ``model`` itself, what it was made into (lowbit.fake), or its trace."""
    if isinstance(model, Graph):
        return model
    if callable(made := getattr(model, "integer_graph", None)):
        return cast("Graph", made())
    return trace(model, example_inputs, name, log)
