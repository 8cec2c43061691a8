"""Shape operations of every rank, exhaustively over small shapes, on the memory they describe, against numpy."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from lowbit.graph import Graph, Node, TensorType
from tests.lowering.simulate import execute, run_nodes

Shape = tuple[int, ...]
RANKS = range(7)


@functools.cache
def _shapes(count: int, rank: int) -> tuple[Shape, ...]:
    """Every shape of this rank and number of elements."""
    if rank == 0:
        return ((),) if count == 1 else ()
    return tuple((n, *rest) for n in range(1, count + 1) if count % n == 0 for rest in _shapes(count // n, rank - 1))


def _all(count: int, most: int, seed: int) -> list[Shape]:
    """Shapes of every rank, at most ``most`` of each."""
    rng, chosen = np.random.default_rng(seed), []
    for rank in RANKS:
        some = _shapes(count, rank)
        chosen += [some[i] for i in sorted(rng.permutation(len(some))[:most])]
    return chosen


def _values(shape: Shape) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def _reshaped(x: np.ndarray, shape: Shape) -> np.ndarray:
    return execute(Node("y", "reshape", ("x",), {"shape": shape}), {"x": x}, shape)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8, 12, 30, 32, 34, 48, 96, 120])
def test_reshapes_between_all_shapes(count: int) -> None:
    """Up to 12 elements every pair of shapes up to rank 4; samples of the others."""
    shapes = _all(count, 9 if count <= 12 else 5, count)
    for before, after in itertools.product(shapes, shapes):
        x = _values(before)
        np.testing.assert_array_equal(_reshaped(x, after), x.reshape(after), err_msg=f"{before} -> {after}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 4, 2, 3), (6, 4)), ((1, 4, 2, 3), (1, 6, 4)), ((1, 4, 2, 3), (2, 4, 3, 1)), ((1, 6, 4), (1, 4, 2, 3)),
        ((1, 4, 2, 3), (2, 3, 1, 1, 4)), ((2, 3, 16, 1, 16), (2, 16, 3, 16)), ((1, 9, 2, 2), (1, 1, 3, 3, 2, 2)),
    ],
)  # fmt: skip
def test_equal_counts_of_pixels_and_channels_are_no_alias(before: Shape, after: Shape) -> None:
    x = _values(before)
    np.testing.assert_array_equal(_reshaped(x, after), x.reshape(after))


@pytest.mark.parametrize(
    ("before", "after", "copies"),
    [
        ((2, 3, 16), (6, 16), 0), ((6, 32), (12, 16), 0), ((1, 20, 1, 1), (1, 20), 0), ((2, 2, 3, 4, 5), (4, 3, 4, 5), 1),
        ((2, 2, 3, 4, 5), (1, 4, 3, 4, 5), 0), ((4, 32), (2, 64), 0), ((6, 16), (2, 48), 0), ((32, 48), (48, 32), 0),
        ((6, 4), (4, 6), 2), ((6, 4), (2, 3, 4), 0),
    ],
)  # fmt: skip
def test_calls_of_a_reshape(before: Shape, after: Shape, copies: int) -> None:
    """Where every element keeps its address there is none; where boundaries cross, two."""
    from lowbit.lowering.context import Lowering
    from lowbit.lowering.movement import lower_reshape
    from lowbit.targets import TARGETS

    node = Node("y", "reshape", ("x",), {"shape": after})
    ctx = Lowering(Graph("g", ("x",), ("y",), (node,), {"x": TensorType(before), "y": TensorType(after)}), TARGETS["x86-64"])
    lower_reshape(ctx, node)
    assert len(ctx._calls) == copies


def _some_shapes(rank: int, seed: int, count: int) -> Iterator[Shape]:
    rng = np.random.default_rng([seed, rank])
    for _ in range(count):
        yield tuple(int(n) for n in rng.choice([1, 1, 2, 3, 5] if rank > 3 else [1, 2, 3, 7, 17, 32], rank))


@pytest.mark.parametrize("rank", RANKS)
def test_permutes(rank: int) -> None:
    for shape in _some_shapes(rank, 0, 4):
        x = _values(shape)
        for order in itertools.islice(itertools.permutations(range(rank)), 0, None, 7 if rank == 6 else 1):
            y = execute(Node("y", "permute", ("x",), {"dims": order}), {"x": x}, x.transpose(order).shape)
            np.testing.assert_array_equal(y, x.transpose(order), err_msg=f"{shape} {order}")


@pytest.mark.parametrize("rank", RANKS)
def test_slices(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for shape in _some_shapes(rank, 1, 60):
        x = _values(shape)
        starts = tuple(int(rng.integers(0, n)) for n in shape)
        steps = tuple(int(rng.integers(1, 4)) for _ in shape)
        y = x[tuple(slice(a, None, s) for a, s in zip(starts, steps, strict=True))]
        got = execute(Node("y", "slice", ("x",), {"starts": starts, "steps": steps}), {"x": x}, y.shape)
        np.testing.assert_array_equal(got, y, err_msg=f"{shape} {starts} {steps}")


@pytest.mark.parametrize("rank", RANKS)
def test_pads(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for shape in _some_shapes(rank, 2, 60):
        x, value = _values(shape), float(rng.choice([0.0, -1.5, np.inf]))
        before, after = (tuple(int(n) for n in rng.integers(0, 3, rank)) for _ in range(2))
        y = np.pad(x, list(zip(before, after, strict=True)), constant_values=value) if rank else x
        node = Node("y", "pad", ("x",), {"before": before, "after": after, "value": value})
        np.testing.assert_array_equal(execute(node, {"x": x}, y.shape), y, err_msg=f"{shape} {before} {after}")


@pytest.mark.parametrize("rank", RANKS[1:])
def test_concats(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for shape in _some_shapes(rank, 3, 20):
        for axis in range(rank):
            counts = [int(n) for n in rng.choice([1, 2, 3, 16, 31], 3)]
            parts = {f"x{i}": _values((*shape[:axis], n, *shape[axis + 1 :])) + 1000 * i for i, n in enumerate(counts)}
            names = (*parts, "x0")  # a value may be there twice
            y = np.concatenate([parts[name] for name in names], axis)
            got = execute(Node("y", "concat", names, {"axis": axis}), parts, y.shape)
            np.testing.assert_array_equal(got, y, err_msg=f"{shape} {axis} {counts}")


@pytest.mark.parametrize("seed", range(60))
def test_chains(seed: int) -> None:
    """Reshapes, permutes and slices behind each other: an alias is read like any other value."""
    rng = np.random.default_rng(seed)
    shapes = _all(int(rng.choice([12, 24, 60, 64])), 8, seed)
    value = _values(shapes[rng.integers(len(shapes))])
    values, nodes, types, x = {"v0": value}, [], {"v0": TensorType(value.shape)}, value
    for i in range(6):
        kind = rng.choice(["reshape", "permute", "slice"], p=[0.5, 0.4, 0.1])
        if kind == "reshape":
            choices = _all(value.size, 8, seed + i)
            value, attrs = value.reshape(choices[rng.integers(len(choices))]), {}
            attrs = {"shape": value.shape}
        elif kind == "permute":
            order = tuple(int(d) for d in rng.permutation(value.ndim))
            value, attrs = value.transpose(order), {"dims": order}
        else:
            starts = tuple(int(rng.integers(0, min(n, 2))) for n in value.shape)
            value, attrs = value[tuple(slice(a, None) for a in starts)], {"starts": starts, "steps": (1,) * value.ndim}
        nodes.append(Node(f"v{i + 1}", str(kind), (f"v{i}",), attrs))
        values[f"v{i + 1}"], types[f"v{i + 1}"] = value, TensorType(value.shape)
    got = run_nodes(Graph("g", ("v0",), ("v6",), tuple(nodes), types), {"v0": x})
    for name, expected in values.items():
        np.testing.assert_array_equal(got[name], expected, err_msg=f"{name} of {[(n.op, dict(n.attrs)) for n in nodes]}")
