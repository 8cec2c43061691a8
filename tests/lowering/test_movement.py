"""Copies computed by the lowering, executed element by element, against numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.data_movement.spec import RunsSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.movement import _refine, _strides_of, lower_concat, lower_pad
from lowbit.numerics import QParams, QType
from lowbit.targets import TARGETS
from tests.lowering.simulate import execute


def _values(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 3, 4, 5), (2, 60)), ((2, 24), (2, 6, 2, 2)), ((1, 20, 1, 1), (1, 20)), ((6, 4), (4, 6)), ((5,), (1, 5, 1, 1)),
        ((2, 8, 3, 3), (2, 2, 4, 3, 3)), ((2, 2, 4, 3, 3), (2, 8, 3, 3)), ((2, 3, 4), (6, 4)), ((1, 1, 1), (1,)),
        ((3, 10), (5, 6)), ((2, 16, 3, 2), (2, 16, 6)),
    ],
)  # fmt: skip
def test_reshape(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    x = _values(before)
    np.testing.assert_array_equal(execute(Node("y", "reshape", ("x",), {"shape": after}), {"x": x}, after), x.reshape(after))


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_permute(rank: int) -> None:
    x = _values((2, 3, 4, 5, 2)[:rank])
    for order in itertools.permutations(range(rank)):
        y = x.transpose(order)
        np.testing.assert_array_equal(execute(Node("y", "permute", ("x",), {"dims": order}), {"x": x}, y.shape), y)


@pytest.mark.parametrize(
    ("before", "after"),
    [((1, 3), (4, 3)), ((2, 1), (2, 20)), ((1, 1, 3), (2, 4, 3)), ((2, 1, 3, 4), (2, 6, 3, 4)), ((2, 3, 1, 1), (2, 3, 4, 5)),
     ((1, 3, 1, 5), (2, 3, 4, 5)), ((1, 2, 1, 4, 1), (3, 2, 5, 4, 6)), ((1,), (7,)), ((1, 1, 1, 1), (2, 3, 4, 5))],
)  # fmt: skip
def test_expand(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    x = _values(before)
    y = np.broadcast_to(x, after)
    np.testing.assert_array_equal(execute(Node("y", "expand", ("x",), {"shape": after}), {"x": x}, after), y)


def test_strided_slice() -> None:
    x = _values((2, 6, 5, 7))
    y = x[:, 1:5:2, ::2, 1::3]
    node = Node("y", "slice", ("x",), {"starts": (0, 1, 0, 1), "steps": (1, 2, 2, 3)})
    np.testing.assert_array_equal(execute(node, {"x": x}, y.shape), y)


@pytest.mark.parametrize(
    ("shape", "chosen"),
    [
        ((2, 3, 4, 5), {1: (2, 1, 0)}), ((2, 20, 4, 5), {2: (0, 0, 1, 1, 2, 2, 3, 3), 3: (4, 3, 2, 1, 0)}),
        ((7,), {0: (6, 0, 3, 3)}), ((2, 3, 4, 5), {2: (1, 0, 1, 2, 3, 2), 3: (0, 0, 0, 1, 2, 3, 4, 4)}),
        ((4, 6), {0: (3, 1), 1: (5, 5, 0)}), ((3, 4, 5), {1: (2,)}), ((2, 2, 3, 2, 4), {0: (1, 0), 3: (1, 1, 0)}),
        ((1, 3, 33, 40), {1: (2, 1, 0)}), ((1, 16, 20, 3), {2: tuple(range(19, -1, -1))}), ((4, 1, 1, 1), {0: (3, 2, 1, 0)}),
        ((1, 17, 1, 300), {3: tuple(k * 300 // 700 for k in range(700))}),
    ],
)  # fmt: skip
def test_take(shape: tuple[int, ...], chosen: dict[int, tuple[int, ...]]) -> None:
    x = _values(shape)
    y = x[np.ix_(*(chosen.get(axis, range(size)) for axis, size in enumerate(shape)))]
    node = Node("y", "take", ("x",), {"indices": tuple(chosen.get(axis) for axis in range(len(shape)))})
    np.testing.assert_array_equal(execute(node, {"x": x}, y.shape), y)


@pytest.mark.parametrize(
    ("shape", "phases", "groups"),
    [
        ((2, 24, 4, 5), (2, 2), 1),
        ((1, 12, 3, 2), (2, 3), 2),
        ((1, 64, 7, 9), (2, 2), 1),
        ((2, 18, 1, 4), (1, 3), 6),
        ((1, 5, 3, 3), (1, 1), 5),
    ],
)
def test_interleave(shape: tuple[int, ...], phases: tuple[int, int], groups: int) -> None:
    """Element by element, from the definition: y[n, (g, o), i, j] = x[n, (g, a, b, o), r, c]."""
    x, (ph, pw) = _values(shape), phases
    rows = [(f % ph, f // ph) for f in range(1, ph * shape[2])]
    columns = [(f % pw, f // pw) for f in range(pw * shape[3])][::-1]
    per_group = shape[1] // (ph * pw * groups)
    y = np.empty((shape[0], groups * per_group, len(rows), len(columns)), np.float32)
    for n, g, o, i, j in np.ndindex(shape[0], groups, per_group, len(rows), len(columns)):
        (a, r), (b, c) = rows[i], columns[j]
        y[n, g * per_group + o, i, j] = x[n, ((g * ph + a) * pw + b) * per_group + o, r, c]
    attrs = {"rows": tuple(rows), "columns": tuple(columns), "phases": phases, "groups": groups}
    if y.size:
        np.testing.assert_array_equal(execute(Node("y", "interleave", ("x",), attrs), {"x": x}, y.shape), y)


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_pad(value: float) -> None:
    x = _values((2, 3, 4, 5))
    before, after = (0, 2, 1, 0), (1, 2, 0, 3)
    y = np.pad(x, list(zip(before, after, strict=True)), constant_values=value)
    node = Node("y", "pad", ("x",), {"before": before, "after": after, "value": value})
    np.testing.assert_array_equal(execute(node, {"x": x}, y.shape), y)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concat(axis: int) -> None:
    shapes = [tuple(n + (i if d == axis else 0) for d, n in enumerate((2, 3, 4, 5))) for i in range(3)]
    parts = {f"x{i}": _values(shape) + 1000 * i for i, shape in enumerate(shapes)}
    y = np.concatenate(list(parts.values()), axis)
    np.testing.assert_array_equal(execute(Node("y", "concat", tuple(parts), {"axis": axis}), parts, y.shape), y)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_refine_splits_both_shapes(shape: list[int], random) -> None:  # type: ignore[no-untyped-def]
    a = tuple(shape)
    b: list[int] = [1]
    for extent in a:  # merge some neighbours
        if random.random() < 0.5:
            b[-1] *= extent
        else:
            b.append(extent)
    fine = _refine(a, tuple(b))
    assert fine is not None
    x = _values(a)
    dense = lambda s: tuple(int(np.prod(s[i + 1 :])) for i in range(len(s)))  # noqa: E731
    assert np.prod(fine, dtype=int) == x.size
    assert _strides_of(fine, a, dense(a)) == _strides_of(fine, tuple(b), dense(tuple(b)))


def test_crossing_boundaries_do_not_refine() -> None:
    assert _refine((6, 4), (4, 6)) is None


def test_integer_concat_is_one_call_per_input() -> None:
    """Inputs on the output's grid are copied, the others rescaled on the way; slices of different widths
    and places share the kernels, and no buffer is needed in between."""
    u8 = QType.parse("u8")
    grids = {"a": (0.5, 3), "b": (0.25, 0), "c": (0.5, 3), "d": (0.125, 7), "y": (0.5, 3)}
    widths = {"a": 32, "b": 16, "c": 20, "d": 40, "y": 108}
    types = {
        name: TensorType((1, widths[name], 14, 14), "uint8", QParams(u8, np.float32(scale), zero_point=zero))
        for name, (scale, zero) in grids.items()
    }
    node = Node("y", "concat", ("a", "b", "c", "d"), {"axis": 1})
    ctx = Lowering(Graph("g", ("a", "b", "c", "d"), ("y",), (node,), types), TARGETS["x86-64"])
    lower_concat(ctx, node)
    calls = [call for call, _, _ in ctx._calls]
    copy, rescale = RunsSpec(src="u8", dst="u8", depth=1), RunsSpec(src="u8", dst="u8", depth=1, rescale=True)
    assert [call.spec for call in calls] == [copy, rescale, copy, rescale]
    assert [call.units for call in calls] == [14 * 14] * 4
    tables = [np.frombuffer(ctx.tables.bytes(), np.int32, 6, call.args[5].offset).tolist() for call in calls]
    assert tables == [
        [0, 0, 32, 196, 32, 112], [0, 32, 16, 196, 16, 112], [0, 48, 20, 196, 32, 112], [0, 68, 40, 196, 48, 112]
    ]  # fmt: skip
    s = np.frombuffer(ctx.constants.bytes(), np.float32, 6, calls[3].args[4].offset)
    assert s.tolist() == [1, -7, 0.25, -3, 252, 3]


def test_a_dense_copy_is_shared_among_threads() -> None:
    """One run of 3 * 4096 elements: three units."""
    types = {name: TensorType((1, 64, 12, 16)) for name in "xy"}
    node = Node("y", "pad", ("x",), {"before": (0, 0, 0, 0), "after": (0, 0, 0, 0), "value": 0.0})
    ctx = Lowering(Graph("g", ("x",), ("y",), (node,), types), TARGETS["x86-64"])
    lower_pad(ctx, node)
    ((call, _, _),) = ctx._calls
    assert call.units == 3
    assert np.frombuffer(ctx.tables.bytes(), np.int32, 6, call.args[5].offset).tolist() == [0, 0, 4096, 3, 4096, 4096]
