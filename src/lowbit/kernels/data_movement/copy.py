"""CopySpec -> TensorIR: strided copies, in vectors wherever one side is contiguous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.data_movement.spec import CopySpec
from lowbit.kernels.data_movement.transpose import interleaved, transposed
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import spans
from lowbit.kernels.vectors import LANES, load, store
from lowbit.targets import Target

__all__ = ["build", "merge"]

Dim = tuple[int, int, int]  # extent, source stride, destination stride


def merge(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The same copy in fewer loops.  All but the first (the parallel one) are ordered by destination
    stride, so that stores walk memory; (a, s, d), (b, t, e) with s = b*t and d = b*e are one (a*b, t, e);
    extents of 1 vanish."""
    merged: list[Dim] = []
    for extent, src, dst in sorted(dims[1:], key=lambda dim: (-dim[2], -dim[1])):
        if extent == 1:
            continue
        if merged and merged[-1][1] == extent * src and merged[-1][2] == extent * dst:
            merged[-1] = (merged[-1][0] * extent, src, dst)
        else:
            merged.append((extent, src, dst))
    return (dims[0], *merged)


def build(spec: CopySpec, target: Target) -> Any:
    """One step of the first dimension a unit."""
    dtype, size = TIR_DTYPE[spec.dtype], ELEMENT_BYTES[spec.dtype]
    outer, *inner = merge(spec.dims)
    side = 16 // size  # of a square whose rows are 16-byte vectors
    column = inner[-1] if inner and inner[-1][2] == 1 != inner[-1][1] else None  # contiguous stores, other loads

    with kernel_function(spec.symbol(target.name), x=(dtype, spec.src_elements), o=(dtype, spec.dst_elements)) as k:
        at_x, at_o = T.int32(spec.src_offset), T.int32(spec.dst_offset)
        if outer[1] == outer[2] == 1:
            _loops(inner, at_x, at_o, lambda x, o: _units(k, 64 // size, x, o))
        elif column and outer[1] == 1 and column[0] >= side:
            _loops(inner[:-1], at_x, at_o, lambda x, o: _unit_squares(k, outer[2], column, side, x, o))
        else:
            with TB.serial(k.lo, k.hi) as i:
                _unit(k, inner, column, size, at_x + i * outer[1], at_o + i * outer[2])
    return k.func


def _unit(k: KernelFrame, inner: list[Dim], column: Dim | None, size: int, at_x: Any, at_o: Any) -> None:
    """One step of the parallel loop: the loops that no vector form covers, around the one that fits."""
    rows = next((dim for dim in inner[:-1] if dim[1] == 1), None) if column else None  # contiguous loads
    if column and rows:
        around, side = [dim for dim in inner[:-1] if dim is not rows], 16 // size
        if rows[0] >= side and column[0] >= side:
            return _loops(around, at_x, at_o, lambda x, o: _squares(k, rows, column, side, x, o))
        if rows[0] >= LANES and rows[2] == column[0] <= 4:
            return _loops(around, at_x, at_o, lambda x, o: _interleave(k, rows[0], column, x, o))
    if inner and inner[-1][1] == inner[-1][2] == 1:
        return _loops(inner[:-1], at_x, at_o, lambda x, o: _run(k, inner[-1][0], 64 // size, x, o))
    return _loops(inner, at_x, at_o, lambda x, o: store(k.o, o, load(k.x, x, 1), 1))


def _loops(dims: list[Dim], at_x: Any, at_o: Any, body: Callable[[Any, Any], None]) -> None:
    if not dims:
        return body(at_x, at_o)
    (extent, src, dst), *rest = dims
    with TB.serial(extent) as i:
        return _loops(rest, at_x + i * src, at_o + i * dst, body)


def _run(k: KernelFrame, extent: int, lanes: int, at_x: Any, at_o: Any) -> None:
    """``extent`` neighbours."""
    for i, width in spans(extent, lanes if extent >= lanes else LANES):
        store(k.o, at_o + i, load(k.x, at_x + i, width), width)


def _units(k: KernelFrame, lanes: int, at_x: Any, at_o: Any) -> None:
    """The units themselves are neighbours: whole vectors of them, then the rest."""
    count = k.hi - k.lo
    whole = TB.Bind(k.lo + T.truncdiv(count, T.int32(lanes)) * lanes)
    with TB.serial(T.truncdiv(count, T.int32(lanes))) as block:
        i = k.lo + block * lanes
        store(k.o, at_o + i, load(k.x, at_x + i, lanes), lanes)
    with TB.serial(whole, k.hi) as i:
        store(k.o, at_o + i, load(k.x, at_x + i, 1), 1)


def _square(k: KernelFrame, rows: int, column: Dim, side: int, at_x: Any, at_o: Any) -> None:
    """side x side elements, loaded along the rows' dimension and stored along the column's."""
    loaded = [TB.Bind(load(k.x, at_x + j * column[1], side)) for j in range(side)]
    for i, values in enumerate(transposed(loaded)):
        store(k.o, at_o + i * rows, values, side)


def _squares(k: KernelFrame, rows: Dim, column: Dim, side: int, at_x: Any, at_o: Any) -> None:
    for j, _ in spans(column[0], side):
        for i, _ in spans(rows[0], side):
            _square(k, rows[2], column, side, at_x + i + j * column[1], at_o + i * rows[2] + j)


def _unit_squares(k: KernelFrame, rows: int, column: Dim, side: int, at_x: Any, at_o: Any) -> None:
    """Transposition where the units are the rows: squares of ``side`` units, then the rest one by one."""
    blocks = TB.Bind(T.truncdiv(k.hi - k.lo, T.int32(side)))
    with TB.serial(blocks) as block:
        i = k.lo + block * side
        for j, _ in spans(column[0], side):
            _square(k, rows, column, side, at_x + i + j * column[1], at_o + i * rows + j)
    with TB.serial(k.lo + blocks * side, k.hi) as i, TB.serial(column[0]) as j:
        store(k.o, at_o + i * rows + j, load(k.x, at_x + i + j * column[1], 1), 1)


def _interleave(k: KernelFrame, count: int, column: Dim, at_x: Any, at_o: Any) -> None:
    """``column[0]`` streams of ``count`` neighbours each, element by element in turn (channel shuffle)."""
    streams = column[0]
    for i, _ in spans(count, LANES):
        loaded = [load(k.x, at_x + i + j * column[1]) for j in range(streams)]
        store(k.o, at_o + i * streams, interleaved(loaded, LANES), LANES * streams)
