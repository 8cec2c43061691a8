"""The kinds of cases: each draws one, checks it, and says what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.fuzz.checks import Checked, check_float, check_precisions, observed, quantized
from tests.fuzz.compiled import check_compiled, draw_way
from tests.fuzz.configs import draw_config, width_class
from tests.fuzz.draws import Draws, Rejected
from tests.fuzz.graphs import draw_graph
from tests.fuzz.tensors import draw_inputs

__all__ = ["KINDS", "run_case"]

Note = Callable[[str], None]


def graph_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random graph through passes, quantization and interpreter."""
    graph, sketch = draw_graph(draws, only=only)
    recipes = draw_inputs(draws, [graph.types[name].shape for name in graph.inputs])
    note(f"{sketch.text}\ninputs = {recipes}")
    inputs = [recipe.make() for recipe in recipes]
    canonical, _ = check_float(graph, inputs)
    checked.reach(graph, "float")
    check_precisions(canonical, inputs, draws, checked)


def compiled_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random graph at a random precision, compiled and run."""
    graph, sketch = draw_graph(draws, most=5, only=only)
    recipes = draw_inputs(draws, [graph.types[name].shape for name in graph.inputs])
    way = draw_way(draws)
    note(f"{sketch.text}\ninputs = {recipes}\n{way}")
    inputs = [recipe.make() for recipe in recipes]
    canonical, _ = check_float(graph, inputs)
    arrays = [value.numpy() for value in inputs]
    if draws.chance(12):
        check_compiled(canonical, arrays, way, checked, width_class(None))
        return
    config = draw_config(draws, canonical)
    note(f"config = {config}")
    integer = quantized(canonical, observed(canonical, inputs), config, checked)
    if integer is not None:
        check_compiled(integer, arrays, way, checked, width_class(config))


KINDS: dict[str, Callable[..., None]] = {"graph": graph_case, "compiled": compiled_case}


def run_case(kind: str, draw: Callable[..., Any], **options: Any) -> Checked:
    """One case of ``kind``.  Raises Rejected where the draw is none; anything else that is raised is a finding, and carries
    the case's own text as a note."""
    checked, texts = Checked(kind), []
    torch.set_num_threads(1)
    try:
        KINDS[kind](Draws(draw), checked, texts.append, **options)
    except Rejected:
        raise
    except Exception as error:
        error.add_note("\n".join(["", "# the case", *texts]))
        raise
    return checked
