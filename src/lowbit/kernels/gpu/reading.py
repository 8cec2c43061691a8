"""What statements of TensorIR are made of: expressions, buffers, lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tvm import tirx

from lowbit.kernels.gpu.lanes import children, intrinsic, kind_of, lanes_of
from lowbit.kernels.gpu.launch import statements

__all__ = ["all_expressions", "buffers_allocated", "buffers_read", "common_lanes", "parts_of", "walk"]


def _expressions(stmt: Any) -> Iterator[Any]:
    """The expressions that a statement itself has."""
    for name in ("value", "condition", "min", "extent"):
        part = getattr(stmt, name, None)
        if part is not None and hasattr(part, "ty"):
            yield part
    yield from getattr(stmt, "indices", ())


def walk(*exprs: Any) -> Iterator[Any]:
    """All that they are made of, each once."""
    seen: set[int] = set()
    left = list(exprs)
    while left:
        expr = left.pop()
        if hash(expr) not in seen:
            seen.add(hash(expr))
            yield expr
            left += children(expr)


def all_expressions(stmt: Any) -> Iterator[Any]:
    """Those of all statements inside, and all that they are made of."""
    return walk(*(expr for inner in statements(stmt) for expr in _expressions(inner)))


def buffers_read(stmt: Any) -> set[int]:
    """Hashes of those that it reads."""
    return {hash(expr.source) for expr in all_expressions(stmt) if kind_of(expr) == "TensorLoad"}


def parts_of(stmt: Any) -> list[Any]:
    """The statements of a sequence, or the one."""
    return list(stmt.seq) if isinstance(stmt, tirx.SeqStmt) else [stmt]


def buffers_allocated(stmt: Any) -> set[int]:
    """Hashes of those that it allocates."""
    return {hash(inner.buffer) for inner in statements(stmt) if isinstance(inner, tirx.AllocBuffer)}


def _multiple(expr: Any, of: int) -> bool:
    """Whether an index is seen to be a multiple of ``of``."""
    kind = kind_of(expr)
    if kind == "IntImm":
        return int(expr.value) % of == 0
    if kind == "Mul":
        return _multiple(expr.a, of) or _multiple(expr.b, of)
    return kind in ("Add", "Sub") and _multiple(expr.a, of) and _multiple(expr.b, of)


def common_lanes(parts: Sequence[Any], scratch: set[int]) -> int:
    """Lanes of all vectors of these statements, where each can be computed without the others; else 1."""
    own = scratch.union(*map(buffers_allocated, parts))
    counts: set[int] = set()
    for part in parts:
        for stmt in statements(part):
            if isinstance(stmt, tirx.BufferStore):
                counts.add(lanes_of(stmt.value))
                if not _own_place(stmt.buffer, list(stmt.indices), own):
                    return 1
        for expr in all_expressions(part):
            count, kind = lanes_of(expr), kind_of(expr)
            counts.add(count)
            if kind == "Shuffle" or (kind == "TensorLoad" and not _own_place(expr.source, list(expr.indices), own)):
                return 1
            if kind == "Call" and any(lanes_of(operand) not in (1, count) for operand in children(expr)):
                return 1
            if kind == "Call" and count == 1 and any(lanes_of(operand) > 1 for operand in children(expr)):
                return 1
            if kind == "Call" and count > 1 and intrinsic(expr) == "tirx.reinterpret" and lanes_of(expr.args[0]) == 1:
                return 1
    counts.discard(1)
    return counts.pop() if len(counts) == 1 else 1


def _own_place(buffer: Any, indices: list[Any], own: set[int]) -> bool:
    """Whether a thread can keep its lane of a local buffer: vectors lie side by side there."""
    if hash(buffer) not in own:
        return True
    (index,) = indices
    if kind_of(index) != "Ramp":
        return False
    return int(index.stride) == 1 and _multiple(index.base, lanes_of(index))
