"""Copies computed by the lowering, executed element by element, against numpy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import CopySpec, RunsSpec
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides
from lowbit.lowering.movement import _refine, _strides_of, lower_concat, lower_pad, lower_permute, lower_reshape, lower_slice
from lowbit.lowering.program import Call
from lowbit.numerics import QParams, QType
from lowbit.targets import TARGETS

HANDLERS = {"reshape": lower_reshape, "permute": lower_permute, "slice": lower_slice, "pad": lower_pad, "concat": lower_concat}


def _store(values: np.ndarray, layout: Layout) -> np.ndarray:
    memory = np.full(layout.elements + 64, np.nan, np.float32)
    strides = axis_strides(values.shape, layout)
    for index in np.ndindex(*values.shape):
        memory[layout.offset(0, 0, 0, 0) + sum(i * s for i, s in zip(index, strides, strict=True))] = values[index]
    return memory


def _load(memory: np.ndarray, shape: tuple[int, ...], layout: Layout) -> np.ndarray:
    strides = axis_strides(shape, layout)
    out = np.empty(shape, np.float32)
    for index in np.ndindex(*shape):
        out[index] = memory[layout.offset(0, 0, 0, 0) + sum(i * s for i, s in zip(index, strides, strict=True))]
    return out


def _moves(call: Call, constants: bytes) -> Iterator[tuple[int, int]]:
    """(source, destination) of every element."""
    spec = call.spec
    if isinstance(spec, CopySpec):
        begin, run, dims = (spec.src_offset, spec.dst_offset), 1, spec.dims
    else:
        assert isinstance(spec, RunsSpec)
        assert not spec.rescale
        table = np.frombuffer(constants, np.int32, 3 + 3 * spec.depth, call.args[5].offset).tolist()
        begin, run = (table[0], table[1]), table[2]
        dims = tuple(zip(table[3::3], table[4::3], table[5::3], strict=True))
    assert call.units == dims[0][0]
    for *index, i in itertools.product(*(range(extent) for extent, _, _ in dims), range(run)):
        a, b = (begin[side] + i + sum(j * d[side + 1] for j, d in zip(index, dims, strict=True)) for side in range(2))
        yield a, b


def _execute(node: Node, inputs: dict[str, np.ndarray], out_shape: tuple[int, ...]) -> np.ndarray:
    """Lower one node of a float graph and run its copies in Python."""
    types = {name: TensorType(value.shape) for name, value in inputs.items()} | {node.name: TensorType(out_shape)}
    graph = Graph("g", tuple(inputs), (node.name,), (node,), types)
    ctx = Lowering(graph, TARGETS["x86-64"])
    HANDLERS[node.op](ctx, node)
    memory = {name: _store(value, ctx.layouts[name]) for name, value in inputs.items()}
    for call, named, written in ctx._calls:
        target = memory.setdefault(written, np.full(ctx.layouts[written].elements, np.nan, np.float32))
        for fill in call.fills:
            if fill.whole:
                target[:] = np.int32(fill.value).view(np.float32)
        for a, b in _moves(call, ctx.constants.bytes()):
            target[b] = memory[named[0]][a]
    return _load(memory[ctx.storage(node.name)], out_shape, ctx.layouts[node.name])


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
    np.testing.assert_array_equal(_execute(Node("y", "reshape", ("x",), {"shape": after}), {"x": x}, after), x.reshape(after))


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_permute(rank: int) -> None:
    x = _values((2, 3, 4, 5, 2)[:rank])
    for order in itertools.permutations(range(rank)):
        y = x.transpose(order)
        np.testing.assert_array_equal(_execute(Node("y", "permute", ("x",), {"dims": order}), {"x": x}, y.shape), y)


def test_strided_slice() -> None:
    x = _values((2, 6, 5, 7))
    y = x[:, 1:5:2, ::2, 1::3]
    node = Node("y", "slice", ("x",), {"starts": (0, 1, 0, 1), "steps": (1, 2, 2, 3)})
    np.testing.assert_array_equal(_execute(node, {"x": x}, y.shape), y)


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_pad(value: float) -> None:
    x = _values((2, 3, 4, 5))
    before, after = (0, 2, 1, 0), (1, 2, 0, 3)
    y = np.pad(x, list(zip(before, after, strict=True)), constant_values=value)
    node = Node("y", "pad", ("x",), {"before": before, "after": after, "value": value})
    np.testing.assert_array_equal(_execute(node, {"x": x}, y.shape), y)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concat(axis: int) -> None:
    shapes = [tuple(n + (i if d == axis else 0) for d, n in enumerate((2, 3, 4, 5))) for i in range(3)]
    parts = {f"x{i}": _values(shape) + 1000 * i for i, shape in enumerate(shapes)}
    y = np.concatenate(list(parts.values()), axis)
    np.testing.assert_array_equal(_execute(Node("y", "concat", tuple(parts), {"axis": axis}), parts, y.shape), y)


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
    copy, rescale = RunsSpec("u8", "u8", 1), RunsSpec("u8", "u8", 1, rescale=True)
    assert [call.spec for call in calls] == [copy, rescale, copy, rescale]
    assert [call.units for call in calls] == [14 * 14] * 4
    tables = [np.frombuffer(ctx.constants.bytes(), np.int32, 6, call.args[5].offset).tolist() for call in calls]
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
    assert np.frombuffer(ctx.constants.bytes(), np.int32, 6, call.args[5].offset).tolist() == [0, 0, 4096, 3, 4096, 4096]
