"""Nothing that lowbit supports is out of the fuzzer's reach."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import strategies as st

from lowbit.errors import LowbitError
from lowbit.frontend import import_model
from lowbit.frontend.handlers.table import HANDLERS
from lowbit.graph.ops import OPS, UNARY
from tests.fuzz.draws import Draws, Rejected
from tests.fuzz.graphs import DRAWERS, QUANTIZED_ONLY, draw_graph
from tests.fuzz.modules import NOT_ON_CPU, draw_program, overloads


def plain(seed: int) -> Draws:
    """Draws of a plain generator: enough to reach a row, and fast."""
    generator = random.Random(seed)

    def draw(strategy: st.SearchStrategy[Any]) -> Any:
        wrapped = strategy.wrapped_strategy if hasattr(strategy, "wrapped_strategy") else strategy
        return generator.randint(wrapped.start, wrapped.end)

    return Draws(draw)


def test_every_operation_of_the_graph_has_a_drawer() -> None:
    assert set(DRAWERS) | set(QUANTIZED_ONLY) == set(OPS)


@pytest.mark.parametrize("op", sorted(DRAWERS))
def test_graphs_reach(op: str) -> None:
    drawn = [_nodes(op, seed) for seed in range(40)]
    assert sum(op in nodes for nodes in drawn) > 10


def _nodes(op: str, seed: int) -> set[str]:
    try:
        return {node.op for node in draw_graph(plain(seed), only=op)[0].nodes}
    except Rejected:
        return set()


def test_every_function_is_drawn() -> None:
    drawn = set()
    for seed in range(600):
        try:
            drawn |= {node.attrs["fn"] for node in draw_graph(plain(seed), only="unary")[0].nodes if node.op == "unary"}
        except Rejected:
            continue
    assert drawn == set(UNARY)


@pytest.mark.parametrize("name", [name for name in HANDLERS if name not in NOT_ON_CPU])
def test_modules_reach_every_row_of_the_frontend(name: str) -> None:
    """At least one drawn call is valid in torch and accepted by lowbit, and its result is read."""
    assert overloads()[name], f"torch has no operation aten.{name} that takes tensors"
    said: list[str] = []
    for seed in range(200):
        try:
            program, generator = draw_program(plain(seed), most=4, only=name)
            import_model(program.module(), tuple(recipe.make() for recipe in program.inputs))
        except (Rejected, LowbitError) as error:
            said.append(str(error))
            continue
        if any(operation.partition(".")[0] in (name, f"{name}_") for operation, _, _ in generator.reached):
            return
    pytest.fail(f"no case of {name} was accepted; among what was said: {said[:5]}")
