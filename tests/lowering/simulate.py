"""Lowered float nodes, executed in numpy on the memory that the program describes: no kernel is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lowbit.graph import Graph, Node, TensorType
from lowbit.kernels.data_movement.spec import CopySpec, GatherSpec, RunsSpec
from lowbit.kernels.elementwise.reference import binary
from lowbit.kernels.elementwise.spec import BinarySpec
from lowbit.kernels.layout import Layout
from lowbit.lowering.context import Lowering
from lowbit.lowering.copying import axis_strides
from lowbit.lowering.lower import HANDLERS
from lowbit.lowering.program import Call, Ref
from lowbit.targets import TARGETS

__all__ = ["addresses", "execute", "run_nodes"]

_SLACK = 16


def addresses(begin: int, dims: Iterable[tuple[int, int]]) -> np.ndarray:
    """Element address of every index of a tensor of these (extent, stride)."""
    total = np.int64(begin)
    for extent, stride in dims:
        total = np.asarray(total)[..., None] + np.arange(extent) * stride
    return np.asarray(total)


def _places(shape: tuple[int, ...], layout: Layout) -> np.ndarray:
    return addresses(layout.offset(0, 0, 0, 0), zip(shape, axis_strides(shape, layout), strict=True))


def _moved(call: Call, constants: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(sources, destinations) of every element that a copy moves."""
    spec = call.spec
    if isinstance(spec, GatherSpec):
        return _gathered(spec, call.units, np.frombuffer(constants, np.int32, offset=call.args[5].offset))
    if isinstance(spec, CopySpec):
        begin, run, dims = (spec.src_offset, spec.dst_offset), 1, [tuple(d) for d in spec.dims]
    else:
        assert isinstance(spec, RunsSpec)
        assert not spec.rescale
        table = np.frombuffer(constants, np.int32, 3 + 3 * spec.depth, call.args[5].offset).tolist()
        begin, run = (table[0], table[1]), table[2]
        dims = list(zip(table[3::3], table[4::3], table[5::3], strict=True))
    assert call.units == dims[0][0]
    dims = [*dims, (run, 1, 1)]
    source, target = (addresses(begin[side], [(d[0], d[1 + side]) for d in dims]).ravel() for side in range(2))
    assert len(np.unique(target)) == len(target), "an element is written twice"
    return source, target


def _gathered(spec: GatherSpec, units: int, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, begin = int(table[0]), int(table[1])
    assert begin == 2 + 2 * units
    each = 2 if spec.run else 3
    pieces = table[begin : begin + each * count].reshape(count, each)
    moved = [
        (a + src + i, b + dst + i)
        for a, b in table[2:begin].reshape(-1, 2)
        for src, dst, *length in pieces
        for i in range(length[0] if length else spec.run)
    ]
    source, target = np.array(moved).T
    assert len(np.unique(target)) == len(target), "an element is written twice"
    return source, target


def _pixels(memory: np.ndarray, layout: Layout) -> np.ndarray:
    """All physical channels of the pixels: (n, h, w, stride)."""
    rows = memory[: layout.elements].reshape(layout.n, layout.hp, layout.wp, layout.stride)
    return rows[:, layout.top : layout.top + layout.h, layout.left : layout.left + layout.w]


def _binary(ctx: Lowering, call: Call, named: Mapping[int, str], memory: dict[str, np.ndarray], out: np.ndarray) -> None:
    spec, constants = call.spec, ctx.constants.bytes()
    assert isinstance(spec, BinarySpec)

    def at(ref: Ref, count: int) -> np.ndarray:
        return np.frombuffer(constants, np.float32, count, ref.offset)

    def operand(index: int, layout: Layout) -> np.ndarray:
        held = memory[named[index]] if index in named else at(call.args[index], layout.elements)
        return _pixels(held, layout)[..., : layout.c]

    r = operand(1, spec.other) if spec.other is not None else None
    w, b = (at(call.args[i], spec.dst.c) if spec.fn == "affine" else None for i in (2, 3))
    _pixels(out, spec.dst)[..., : spec.dst.c] = binary(spec, at(call.args[4], 9), operand(0, spec.src), r, w, b)


def run_nodes(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every value of a float graph, by name; memory that nothing wrote is NaN."""
    ctx = Lowering(graph, TARGETS["x86-64"])
    memory: dict[str, np.ndarray] = {}
    for name, value in inputs.items():
        memory[name] = np.full(ctx.layouts[name].elements + _SLACK, np.nan, np.float32)
        memory[name][_places(value.shape, ctx.layouts[name])] = value
    done = 0
    for node in graph.nodes:
        HANDLERS[node.op](ctx, node)
        for call, named, written in ctx._calls[done:]:
            target = memory.setdefault(written, np.full(ctx.layouts[written].elements + _SLACK, np.nan, np.float32))
            for fill in call.fills:
                assert fill.layout == ctx.layouts[written]
                inside = np.zeros(fill.layout.elements, bool)
                if not fill.whole:
                    _pixels(inside, fill.layout)[...] = True
                target[: fill.layout.elements][~inside] = np.int32(fill.value).view(np.float32)
            if isinstance(call.spec, BinarySpec):
                _binary(ctx, call, named, memory, target)
                continue
            source, places = _moved(call, ctx.tables.bytes())
            assert places.max() < ctx.layouts[written].elements
            target[places] = memory[named[0]][source]
        done = len(ctx._calls)
    values: dict[str, np.ndarray] = {}
    for name, tensor in graph.types.items():
        if name not in graph.constants:
            values[name] = memory[ctx.storage(name)][_places(tensor.shape, ctx.layouts[name])]
    return values


def execute(
    node: Node, inputs: dict[str, np.ndarray], out_shape: tuple[int, ...], constants: dict[str, np.ndarray] | None = None
) -> np.ndarray:
    """One node, lowered and run."""
    constants = constants or {}
    types = {name: TensorType(value.shape) for name, value in {**inputs, **constants}.items()}
    graph = Graph("g", tuple(inputs), (node.name,), (node,), types | {node.name: TensorType(out_shape)}, constants)
    return run_nodes(graph, inputs)[node.name]
