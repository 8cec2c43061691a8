"""What a graph should give: the interpreter's integers, or the float network's real numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowbit.graph import Graph, interpret

__all__ = ["expected_outputs"]


def expected_outputs(
    graph: Graph,
    inputs: Sequence[np.ndarray],
    observe: Callable[[str, np.ndarray], None] | None = None,
    float_type: str = "float32",
) -> list[np.ndarray]:
    """Outputs on one list of inputs.  An integer graph (``graph.is_integer``) runs in the oracle and has one right answer,
    to the last bit; a float graph runs in torch, computed in ``float_type``, and has it up to rounding.

    ``observe(name, value)`` is called for every node.  Raises InputError for inputs that are not the graph's.
    """
    if graph.is_integer:
        return interpret(graph, list(inputs), observe)
    import torch

    from lowbit.frontend import evaluate

    seen = None if observe is None else lambda name, value: observe(name, value.numpy())
    outputs = evaluate(graph, [torch.from_numpy(np.asarray(x)) for x in inputs], seen, getattr(torch, float_type))
    return [output.numpy() for output in outputs]
