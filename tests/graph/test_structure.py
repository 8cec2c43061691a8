"""Nested outputs: taken apart, said in JSON, put together again, with and without their classes."""

from __future__ import annotations

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest

from lowbit.graph.structure import Structure, flattened, read_structure

Pair = namedtuple("Pair", "first second")


@dataclass
class Result:
    logits: Any
    extra: Any = None
    count: int = field(default=0, init=False)


class T(str):
    """Stands for a tensor."""


def _refuse(what: str) -> Any:
    raise TypeError(what)


def _taken_apart(value: Any) -> tuple[list[Any], Structure | None]:
    return flattened(value, lambda each: isinstance(each, T), _refuse)


@pytest.mark.parametrize("value", [T("a"), (T("a"), T("b")), [T("a")]])
def test_one_tensor_and_rows_of_them_need_no_structure(value: Any) -> None:
    assert _taken_apart(value)[1] is None


NESTED = [
    {"a": T("x"), 3: None, "n": 5, "s": "text"},
    (T("x"), None),
    [T("x"), (T("y"), [T("z")])],
    OrderedDict(b=T("x"), a=T("y")),
    Pair(T("x"), {"y": T("y")}),
    {"twice": T("x"), "again": T("x")},
]


@pytest.mark.parametrize("value", NESTED)
def test_what_was_taken_apart_is_put_together(value: Any) -> None:
    tensors, structure = _taken_apart(value)
    assert structure is not None
    assert structure.of(tensors) == value
    read = read_structure(json.loads(json.dumps(structure.tree)), len(tensors))
    assert read == structure
    assert read.of(tensors) == value


def test_dataclasses_are_of_their_class_where_it_is_known_and_else_dicts() -> None:
    tensors, structure = _taken_apart(Result(T("x"), [T("y")]))
    assert structure is not None
    made = structure.of(tensors)
    assert isinstance(made, Result)
    assert (made.logits, made.extra) == ("x", ["y"])
    assert read_structure(structure.tree, 2).of(tensors) == {"logits": "x", "extra": ["y"]}


def test_named_tuples_without_their_class_have_its_fields() -> None:
    tensors, structure = _taken_apart(Pair(T("x"), None))
    assert structure is not None
    made = read_structure(structure.tree, 1).of(tensors)
    assert (type(made).__name__, made.first, made.second) == ("Pair", "x", None)


@pytest.mark.parametrize("value", [{1.5: T("x")}, {"a": object()}, {T("x")}])
def test_other_things_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        _taken_apart(value)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (2, "output 2 of 2"), (-1, "output -1"), (True, "holds True"), ("a", "holds 'a'"), ({}, "holds"), ({"set": []}, "holds"),
        ({"list": 3}, "holds"), ({"dict": [["a"]]}, "holds"), ({"dict": [[1.5, 0]]}, "holds"), ({"dict": {"a": 0}}, "holds"),
        ({"dict": [["a", 0], ["a", 1]]}, "key twice"), ({"namedtuple": "a b", "fields": []}, "name 'a b'"),
        ({"namedtuple": "A", "fields": [["class", 0]]}, "keyword"), ({"dataclass": "A", "fields": [[3, 0]]}, "holds"),
        ({"value": [1]}, "holds"), ({"value": 1, "list": []}, "holds"),
    ],
)  # fmt: skip
def test_what_is_no_structure(tree: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_structure({"tuple": [0, tree]}, 2)


def test_one_that_is_too_deep() -> None:
    tree: Any = 0
    for _ in range(40):
        tree = {"list": [tree]}
    with pytest.raises(ValueError, match="too deep"):
        read_structure(tree, 1)
