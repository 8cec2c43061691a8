"""A graph under edit: names keep one meaning, readers are counted by what they will read, loops end."""

from __future__ import annotations

import pytest

from lowbit.errors import GraphError
from lowbit.graph import Graph, Node, TensorType
from lowbit.passes.edit import Edit


def _chain(*ops: str) -> Graph:
    names = ("x", *(f"n{index}" for index in range(len(ops))))
    nodes = tuple(Node(name, op, (before,)) for before, name, op in zip(names, names[1:], ops, strict=False))
    return Graph("chain", ("x",), names[-1:], nodes, dict.fromkeys(names, TensorType((1, 2, 3, 4))))


def test_a_redirected_name_is_not_a_node() -> None:
    graph = _chain("clamp", "clamp")
    edit = Edit(graph)
    edit.redirect("n0", "x")
    with pytest.raises(GraphError, match=r"n0 \(clamp\): its readers were redirected to 'x'"):
        edit.add(graph.nodes[0])
    edit.add(graph.nodes[1])
    with pytest.raises(GraphError, match="n1: redirected to 'x', but it is a node"):
        edit.redirect("n1", "n0")
    with pytest.raises(GraphError, match="n0: redirected to 'n0'"):
        Edit(graph).redirect("n0", "n0")


def test_redirections_are_followed_to_their_end() -> None:
    graph = _chain("clamp", "clamp", "unary")
    edit = Edit(graph)
    edit.redirect("n1", "n0")
    edit.redirect("n0", "x")
    edit.add(graph.nodes[2])
    assert edit.nodes["n2"].inputs == ("x",)


def test_readers_are_counted_by_what_they_will_read() -> None:
    """x is read by n0 and m; n0 gives way to x: x still has two readers."""
    nodes = (Node("m", "unary", ("x",)), Node("n0", "clamp", ("x",)), Node("n1", "clamp", ("n0",)))
    graph = Graph("two", ("x",), ("m", "n1"), nodes, dict.fromkeys(("x", "m", "n0", "n1"), TensorType((1,))))
    edit = Edit(graph)
    assert edit.read_once("n0")
    edit.redirect("n0", "x")
    assert not edit.read_once("n0")


def test_fresh_names_are_new_and_have_one_reader() -> None:
    edit = Edit(_chain("clamp", "unary"))
    assert edit.fresh("n0.ahead", "n0") == "n0.ahead"
    assert edit.fresh("n0.ahead", "n0") == "n0.ahead_1"
    assert edit.read_once("n0.ahead_1")
    assert edit.shape("n0.ahead_1") == (1, 2, 3, 4)


def test_a_loop_without_an_end_names_its_pass() -> None:
    with pytest.raises(GraphError, match="pass hoist_clamp took 3 steps over 2 nodes without an end"):
        for _ in Edit(_chain("clamp", "unary")).steps("hoist_clamp"):
            pass
