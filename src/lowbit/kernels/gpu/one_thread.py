"""What one thread of a GPU does: statements of TensorIR, said again of the thread's lane, or of all lanes one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.gpu.halves import stored
from lowbit.kernels.gpu.lanes import Lanes, Place, is_half, kind_of, lanes_of
from lowbit.kernels.gpu.reading import buffers_read, parts_of

__all__ = ["bind", "emit_statements"]


def bind(stmt: Any, lanes: Lanes) -> None:
    lanes.begin(stmt.value)
    for lane in lanes.numbers(lanes_of(stmt.value)):
        value = lanes.convert(stmt.value, lane)
        lanes.values[hash(stmt.var), lane] = value if kind_of(value) in ("Var", "IntImm", "FloatImm") else TB.Bind(value)


def _store(stmt: Any, lanes: Lanes) -> None:
    (index,) = stmt.indices
    lanes.begin(stmt.value, index)
    found = [
        (lanes.at(stmt.buffer, index, lane), lanes.convert(stmt.value, lane)) for lane in lanes.numbers(lanes_of(stmt.value))
    ]
    reads = len(found) > 1 and hash(stmt.buffer) in buffers_read(stmt)  # then all are read before any is written
    for (buffer, at), value in [(at, TB.Bind(value) if reads else value) for at, value in found]:
        TB.buffer_store(buffer, stored(value) if is_half(stmt.buffer, buffer) else value, [at])


def emit_statements(parts: Sequence[Any], lanes: Lanes, count: int) -> None:
    """One thread does all of these."""
    for stmt in parts:
        if isinstance(stmt, tirx.SeqStmt):
            emit_statements(list(stmt.seq), lanes, count)
        elif isinstance(stmt, tirx.Bind):
            bind(stmt, lanes)
        elif isinstance(stmt, tirx.BufferStore):
            _store(stmt, lanes)
        elif isinstance(stmt, tirx.AllocBuffer):
            _allocate(stmt, lanes, count)
        elif isinstance(stmt, tirx.For):
            lanes.begin(stmt.min, stmt.extent)
            start, extent = lanes.convert(stmt.min), lanes.convert(stmt.extent)
            with TB.serial(start, start + extent) as turn:
                lanes.values[hash(stmt.loop_var), 0] = turn
                emit_statements(parts_of(stmt.body), lanes, count)
        elif isinstance(stmt, tirx.IfThenElse):
            lanes.begin(stmt.condition)
            with TB.If(lanes.convert(stmt.condition)):
                for enter, case in ((TB.Then, stmt.then_case), (TB.Else, stmt.else_case)):
                    if case is not None:
                        with enter():
                            emit_statements(parts_of(case), lanes.copy(lanes.lane), count)
        elif not isinstance(stmt, tirx.DeclBuffer):
            raise UnsupportedOperation(f"a statement {type(stmt).__name__} has no meaning on a GPU")


def _allocate(stmt: Any, lanes: Lanes, count: int) -> None:
    (extent,) = stmt.buffer.shape
    size, dtype = int(extent), str(stmt.buffer.dtype)
    per = count if count > 1 else 0
    buffer = TB.alloc_buffer((-(-size // max(per, 1)),), dtype, scope="local")
    lanes.buffers[hash(stmt.buffer)] = Place(buffer, per=per)
