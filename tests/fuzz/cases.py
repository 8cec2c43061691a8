"""The kinds of cases: each draws one, checks it, and says what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowbit.errors import GraphError, LowbitError
from lowbit.frontend import evaluate, import_model
from lowbit.graph import Graph
from tests.fuzz.checks import Checked, Refused, allowances, check_float, check_precisions, close, observed, quantized
from tests.fuzz.compiled import check_compiled, draw_way
from tests.fuzz.configs import draw_config, width_class
from tests.fuzz.draws import Draws, Rejected
from tests.fuzz.float_methods import check_float_methods, draw_row
from tests.fuzz.graphs import draw_graph
from tests.fuzz.modules import draw_program
from tests.fuzz.onnx_cases import check_exported, check_written
from tests.fuzz.tensors import draw_inputs

__all__ = ["KINDS", "run_case"]

Note = Callable[[str], None]


def _graph(draws: Draws, note: Note, only: str | None, most: int) -> tuple[Graph, list[Tensor]]:
    graph, sketch = draw_graph(draws, most, only)
    recipes = draw_inputs(draws, [graph.types[name].shape for name in graph.inputs])
    note(f"{sketch.text}\ninputs = {recipes}")
    return graph, [recipe.make() for recipe in recipes]


def _module(draws: Draws, checked: Checked, note: Note, only: str | None, most: int) -> tuple[Graph, list[Tensor]]:
    """A traced program whose graph agrees with torch.  Raises Refused."""
    program, generator = draw_program(draws, most, only)
    note(program.text)
    inputs = [recipe.make() for recipe in program.inputs]
    given = [x.clone() for x in inputs]
    try:
        graph = import_model(program.module(), tuple(given))
    except GraphError:
        raise
    except LowbitError as error:
        checked.refuse(error)
        raise Refused from None
    assert all(torch.equal(a, b) for a, b in zip(given, inputs, strict=True)), "importing changed the example inputs"
    outputs = evaluate(graph, inputs, dtype=torch.float64)
    close(outputs, program.reference(inputs), allowances(graph, inputs, outputs), "float graph and torch")
    generator.count(checked.coverage)
    return graph, inputs


def graph_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random graph through passes, quantization and interpreter."""
    graph, inputs = _graph(draws, note, only, most=7)
    checked.reach(graph, "float")
    check_precisions(check_float(graph, inputs), inputs, draws, checked)


def module_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random torch program, traced: torch's float64 result, the graph's, and integers at random precisions."""
    graph, inputs = _module(draws, checked, note, only, most=6)
    check_precisions(check_float(graph, inputs), inputs, draws, checked, configs=1)


def compiled_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random graph, or a random program traced, compiled at a random precision and run."""
    if draws.chance(30):
        graph, inputs = _module(draws, checked, note, None, most=4)
    else:
        graph, inputs = _graph(draws, note, only, most=5)
    way = draw_way(draws)
    note(str(way))
    canonical, arrays = check_float(graph, inputs), [value.numpy() for value in inputs]
    if draws.chance(12):
        check_compiled(canonical, arrays, way, checked, width_class(None))
        return
    config = draw_config(draws, canonical)
    note(f"config = {config}")
    integer = quantized(canonical, observed(canonical, inputs), config, checked)
    if integer is None:
        raise Refused
    check_compiled(integer, arrays, way, checked, width_class(config))


def methods_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """Layers in a row, some of their channels dead, and methods that change the float network."""
    sketch = draw_row(draws)
    recipes = draw_inputs(draws, [sketch.shape(name) for name in sketch.build.inputs])
    note(f"{sketch.text}\ninputs = {recipes}")
    inputs, graph = [recipe.make() for recipe in recipes], sketch.finish()
    checked.reach(graph, "float")
    check_float_methods(check_float(graph, inputs), inputs, draws, checked)


def onnx_case(draws: Draws, checked: Checked, note: Note, only: str | None = None) -> None:
    """A random graph written as ONNX and imported again, or a random program that torch exports, beside onnxruntime."""
    if draws.chance(60):
        graph, inputs = _graph(draws, note, only, most=6)
        check_written(check_float(graph, inputs), inputs, draws, checked)
        return
    program, _ = draw_program(draws, 5, None)
    note(program.text)
    check_exported(program.module(), [recipe.make() for recipe in program.inputs], checked)


KINDS: dict[str, Callable[..., None]] = {
    "graph": graph_case,
    "module": module_case,
    "compiled": compiled_case,
    "onnx": onnx_case,
    "methods": methods_case,
}


def run_case(kind: str, draw: Callable[..., Any], journal: Path | None = None, **options: Any) -> Checked:
    """One case of ``kind``.  Raises Rejected where the draw is none; anything else that is raised is a finding, and carries
    the case's own text as a note.  ``journal``: where that text is written before it runs.

    A case that lowbit refuses by name was not compared: its ``compared`` is False."""
    checked, texts = Checked(kind), []

    def note(text: str) -> None:
        texts.append(text)
        if journal is not None:
            journal.write_text("\n".join(texts))

    torch.set_num_threads(1)
    try:
        KINDS[kind](Draws(draw), checked, note, **options)
    except Rejected:
        raise
    except Refused:
        checked.compared = False
    except Exception as error:
        error.add_note("\n".join(["", "# the case", *texts]))
        raise
    return checked
