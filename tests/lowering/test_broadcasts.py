"""add, sub and mul with every way to broadcast, at every rank, in both operand orders, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.graph import Node
from tests.lowering.simulate import execute

OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
Shape = tuple[int, ...]


def _thinned(rng: np.random.Generator, shape: Shape) -> Shape:
    """A shape that broadcasts to ``shape``: some extents 1, some leading axes absent."""
    kept = tuple(n if rng.random() < 0.5 else 1 for n in shape)
    return kept[int(rng.integers(0, len(shape) + 1)) :] if rng.random() < 0.3 else kept


def _pairs(rank: int, count: int, both: bool) -> list[tuple[Shape, Shape]]:
    rng, pairs = np.random.default_rng([rank, both]), []
    while len(pairs) < count:
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 5, 17] if rank < 5 else [1, 2, 3, 4], rank))
        a, b = (_thinned(rng, shape), _thinned(rng, shape)) if both else (shape, _thinned(rng, shape))
        if np.broadcast_shapes(a, b) == shape:
            pairs.append((a, b))
    return pairs


def _check(op: str, values: dict[str, np.ndarray], constants: dict[str, np.ndarray], order: tuple[str, str]) -> None:
    held = {**values, **constants}
    expected = OPERATIONS[op](*(held[name] for name in order))
    got = execute(Node("y", op, order, {"lo": None, "hi": None}), values, expected.shape, constants)
    np.testing.assert_array_equal(got, expected, err_msg=f"{op} {[held[name].shape for name in order]}")


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("rank", range(7))
def test_two_activations(rank: int, op: str) -> None:
    rng = np.random.default_rng(rank)
    for shape, other in _pairs(rank, 40, both=True):
        values = {"a": rng.standard_normal(shape, np.float32), "b": rng.standard_normal(other, np.float32)}
        for order in (("a", "b"), ("b", "a")):
            _check(op, values, {}, order)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("rank", range(7))
def test_an_activation_and_a_constant(rank: int, op: str) -> None:
    rng = np.random.default_rng(rank)
    for shape, other in _pairs(rank, 40, both=rank % 2 == 1):
        values, constants = {"a": rng.standard_normal(shape, np.float32)}, {"k": rng.standard_normal(other, np.float32)}
        for order in (("a", "k"), ("k", "a")):
            _check(op, values, constants, order)


@pytest.mark.parametrize("other", [(2, 1, 1, 1, 6), (1, 3, 1, 1, 6), (2, 3, 1, 1, 1), (2, 1, 1, 1, 1), (1, 1, 1, 1, 6)])
def test_constants_of_rank_5_that_vary_along_some_leading_axes(other: Shape) -> None:
    rng = np.random.default_rng(0)
    values, constants = {"a": rng.standard_normal((2, 3, 4, 5, 6), np.float32)}, {"k": rng.standard_normal(other, np.float32)}
    _check("add", values, constants, ("a", "k"))
