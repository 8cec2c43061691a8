"""The kinds of cases: each draws one, checks it, and says what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.fuzz.checks import Checked, check_float, check_precisions
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


KINDS: dict[str, Callable[..., None]] = {"graph": graph_case}


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
