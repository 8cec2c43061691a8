"""A CPU's kernel for a GPU: its TensorIR, with loops spread over threads and vectors over lanes.

The loops of a kernel that run over its units and, within a unit, over rows, pixels and groups of channels do not depend on one
another: each iteration writes places of ``o`` of its own (or the same numbers, where the last vector overlaps the one before
it) and reads none of them.  What can be read off the statements is made threads:

- a loop whose body writes to ``o`` and to buffers of its own alone, and does not read ``o``: one thread (or more) an iteration;
- statements in a sequence of which the same is true: threads of their own;
- the lanes of a vector, where all vectors of a statement have as many and no lane looks at another: one thread a lane.

Whatever is left, a sum along a window, the tile of a convolution, is done by one thread, a vector as so many scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.abi import ARGUMENTS, SCRATCH
from lowbit.kernels.gpu.function import gpu_attributes
from lowbit.kernels.gpu.lanes import Lanes, Place, bits_of, children, intrinsic, kind_of, lanes_of
from lowbit.kernels.gpu.launch import statements
from lowbit.kernels.spec import KernelSpec

__all__ = ["THREADS", "spread"]

THREADS = 128  # of a block
_COUNT = "n"


def _expressions(stmt: Any) -> Iterator[Any]:
    """The expressions that a statement itself has."""
    for name in ("value", "condition", "min", "extent"):
        part = getattr(stmt, name, None)
        if part is not None and hasattr(part, "ty"):
            yield part
    yield from getattr(stmt, "indices", ())


def _walk(*exprs: Any) -> Iterator[Any]:
    """All that they are made of, each once."""
    seen: set[int] = set()
    left = list(exprs)
    while left:
        expr = left.pop()
        if hash(expr) not in seen:
            seen.add(hash(expr))
            yield expr
            left += children(expr)


def _all_expressions(stmt: Any) -> Iterator[Any]:
    """Those of all statements inside, and all that they are made of."""
    return _walk(*(expr for inner in statements(stmt) for expr in _expressions(inner)))


def _read(stmt: Any) -> set[int]:
    """The buffers."""
    return {hash(expr.source) for expr in _all_expressions(stmt) if kind_of(expr) == "TensorLoad"}


def _parts(stmt: Any) -> list[Any]:
    return list(stmt.seq) if isinstance(stmt, tirx.SeqStmt) else [stmt]


def _allocated(stmt: Any) -> set[int]:
    return {hash(inner.buffer) for inner in statements(stmt) if isinstance(inner, tirx.AllocBuffer)}


@dataclass(frozen=True)
class _Threads:
    """``count``: how many there are, or, ``many``, how many a unit; ``emit``: what the thread with this number does."""

    count: int
    emit: Callable[[Any, Lanes], None]
    many: bool = False


class _Spread:
    """``outputs``, ``scratch``: buffers over the pointers o and m;  ``units``: of the kernel, None where the call says;
    ``range``: the variables lo and hi."""

    def __init__(self, outputs: set[int], scratch: set[int], units: int | None, units_range: set[int]) -> None:
        self.outputs, self.scratch, self.units, self.range = outputs, scratch, units, units_range

    # what may be done apart

    def over_units(self, stmt: Any) -> bool:
        """Whether it is the loop from lo to hi."""
        if not isinstance(stmt, tirx.For):
            return False
        return {hash(expr) for expr in _walk(stmt.extent) if kind_of(expr) == "Var"} == self.range

    def independent(self, stmt: Any) -> bool:
        """Whether ``stmt`` writes only results and what is its own, and reads no results.  A unit's scratch memory is its own."""
        own = _allocated(stmt) | self.outputs
        for inner in statements(stmt):
            if self.over_units(inner):
                own |= self.scratch
        writes = {hash(inner.buffer) for inner in statements(stmt) if isinstance(inner, tirx.BufferStore)}
        return writes <= own and not _read(stmt) & self.outputs

    def threads(self, stmt: Any, context: tuple[Any, ...] = ()) -> _Threads:
        """How ``stmt`` is shared out.  ``context``: vectors bound before it."""
        parts = _parts(stmt)
        work = [part for part in parts if not isinstance(part, tirx.Bind | tirx.DeclBuffer | tirx.AllocBuffer)]
        bound = [part for part in parts if isinstance(part, tirx.Bind)]
        if len(parts) > 1:
            apart = all(map(self.independent, work)) and not any(_read(part) & self.outputs for part in bound)
            return self.sequence(bound, work, context) if apart else self.leaf(parts, context)
        (part,) = parts
        if isinstance(part, tirx.For) and self.independent(part):
            if self.over_units(part):
                return self.loop(part, self.units, context)
            if isinstance(part.extent, tirx.IntImm):
                return self.loop(part, int(part.extent), context)
        if isinstance(part, tirx.IfThenElse) and self.independent(part):
            return self.branch(part, context)
        return self.leaf(parts, context)

    def sequence(self, bound: Sequence[Any], work: Sequence[Any], context: tuple[Any, ...]) -> _Threads:
        """Each statement has threads.  What is bound before is bound by all; vectors by those who use them."""
        inner = context + tuple(part for part in bound if lanes_of(part.value) > 1)
        shares = [self.threads(part, inner) for part in work]
        if len(shares) > 1 and any(share.many for share in shares):
            raise UnsupportedOperation("a kernel whose calls say how many units there are has two loops over them")
        first = [sum(share.count for share in shares[:i]) for i in range(len(shares))]

        def emit(index: Any, lanes: Lanes) -> None:
            for part in bound:
                if lanes_of(part.value) == 1:
                    _bind(part, lanes)
            _chosen(index, list(zip(first, shares, strict=True)), lanes)

        return _Threads(sum(share.count for share in shares), emit, any(share.many for share in shares))

    def loop(self, loop: Any, extent: int | None, context: tuple[Any, ...]) -> _Threads:
        """``extent`` None: the units of the call."""
        inner = self.threads(loop.body, context)

        def emit(index: Any, lanes: Lanes) -> None:
            lanes.begin(loop.min)
            start = lanes.convert(loop.min)
            turn, rest = (index, T.int32(0)) if inner.count == 1 else _divided(index, inner.count)
            lanes.values[hash(loop.loop_var), 0] = TB.Bind(start + turn)
            inner.emit(rest, lanes)

        return _Threads(inner.count if extent is None else extent * inner.count, emit, extent is None)

    def branch(self, branch: Any, context: tuple[Any, ...]) -> _Threads:
        cases = [case for case in (branch.then_case, branch.else_case) if case is not None]
        shares = [self.threads(case, context) for case in cases]
        count, many = max(share.count for share in shares), any(share.many for share in shares)
        if many and not all(share.many for share in shares):
            raise UnsupportedOperation(
                "a kernel whose calls say how many units there are has a loop over them in one branch alone"
            )

        def emit(index: Any, lanes: Lanes) -> None:
            lanes.begin(branch.condition)
            with TB.If(lanes.convert(branch.condition)):
                for enter, share in zip((TB.Then, TB.Else), shares, strict=False):
                    with enter():
                        if share.count == count:
                            share.emit(index, lanes.copy(lanes.lane))
                        else:
                            with TB.If(index < (share.count * lanes.units if many else share.count)), TB.Then():
                                share.emit(index, lanes.copy(lanes.lane))

        return _Threads(count, emit, many)

    # what one thread does

    def leaf(self, parts: Sequence[Any], context: tuple[Any, ...]) -> _Threads:
        whole = [*_needed(context, parts), *parts]
        count = _uniform(whole, self.scratch)
        if any(map(self.over_units, (inner for part in whole for inner in statements(part)))) and self.units is None:
            raise UnsupportedOperation("units that depend on one another, of a kernel whose calls say how many there are")

        def emit(index: Any, lanes: Lanes) -> None:
            _emit(whole, lanes.copy(index if count > 1 else None), count)

        return _Threads(count, emit)


def _needed(context: Sequence[Any], parts: Sequence[Any]) -> list[Any]:
    """Those of the statements that bind what ``parts``, or one another, use."""
    used = {hash(expr) for part in parts for expr in _all_expressions(part) if kind_of(expr) == "Var"}
    found: list[Any] = []
    for bind in reversed(context):
        if hash(bind.var) in used:
            found.insert(0, bind)
            used |= {hash(expr) for expr in _walk(bind.value) if kind_of(expr) == "Var"}
    return found


def _divided(index: Any, by: int) -> tuple[Any, Any]:
    index = TB.Bind(index)
    return TB.Bind(T.truncdiv(index, T.int32(by))), TB.Bind(T.truncmod(index, T.int32(by)))


def _chosen(index: Any, shares: list[tuple[int, _Threads]], lanes: Lanes) -> None:
    (first, share), *others = shares
    if not others:
        share.emit(index - first if first else index, lanes.copy(lanes.lane))
        return
    with TB.If(index < first + share.count):
        with TB.Then():
            share.emit(index - first if first else index, lanes.copy(lanes.lane))
        with TB.Else():
            _chosen(index, others, lanes)


# ---- lanes


def _multiple(expr: Any, of: int) -> bool:
    """Whether an index is seen to be a multiple of ``of``."""
    kind = kind_of(expr)
    if kind == "IntImm":
        return int(expr.value) % of == 0
    if kind == "Mul":
        return _multiple(expr.a, of) or _multiple(expr.b, of)
    return kind in ("Add", "Sub") and _multiple(expr.a, of) and _multiple(expr.b, of)


def _uniform(parts: Sequence[Any], scratch: set[int]) -> int:
    """Lanes of all vectors of these statements, where each can be computed without the others; else 1."""
    own = scratch.union(*map(_allocated, parts))
    counts: set[int] = set()
    for part in parts:
        for stmt in statements(part):
            if isinstance(stmt, tirx.BufferStore):
                counts.add(lanes_of(stmt.value))
                if not _own_place(stmt.buffer, list(stmt.indices), own):
                    return 1
        for expr in _all_expressions(part):
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


# ---- statements


def _bind(stmt: Any, lanes: Lanes) -> None:
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
    reads = len(found) > 1 and hash(stmt.buffer) in _read(stmt)  # then all are read before any is written
    for (buffer, at), value in [(at, TB.Bind(value) if reads else value) for at, value in found]:
        TB.buffer_store(buffer, value, [at])


def _emit(parts: Sequence[Any], lanes: Lanes, count: int) -> None:
    """One thread does all of these."""
    for stmt in parts:
        if isinstance(stmt, tirx.SeqStmt):
            _emit(list(stmt.seq), lanes, count)
        elif isinstance(stmt, tirx.Bind):
            _bind(stmt, lanes)
        elif isinstance(stmt, tirx.BufferStore):
            _store(stmt, lanes)
        elif isinstance(stmt, tirx.AllocBuffer):
            _allocate(stmt, lanes, count)
        elif isinstance(stmt, tirx.For):
            lanes.begin(stmt.min, stmt.extent)
            start, extent = lanes.convert(stmt.min), lanes.convert(stmt.extent)
            with TB.serial(start, start + extent) as turn:
                lanes.values[hash(stmt.loop_var), 0] = turn
                _emit(_parts(stmt.body), lanes, count)
        elif isinstance(stmt, tirx.IfThenElse):
            lanes.begin(stmt.condition)
            with TB.If(lanes.convert(stmt.condition)):
                for enter, case in ((TB.Then, stmt.then_case), (TB.Else, stmt.else_case)):
                    if case is not None:
                        with enter():
                            _emit(_parts(case), lanes.copy(lanes.lane), count)
        elif not isinstance(stmt, tirx.DeclBuffer):
            raise UnsupportedOperation(f"a statement {type(stmt).__name__} has no meaning on a GPU")


def _allocate(stmt: Any, lanes: Lanes, count: int) -> None:
    (extent,) = stmt.buffer.shape
    size, dtype = int(extent), str(stmt.buffer.dtype)
    per = count if count > 1 else 0
    buffer = TB.alloc_buffer((-(-size // max(per, 1)),), dtype, scope="local")
    lanes.buffers[hash(stmt.buffer)] = Place(buffer, per=per)


def spread(func: Any, spec: KernelSpec, symbol: str, units: int | None) -> Any:
    """The PrimFunc of a CPU's kernel, which computes units lo .. hi, as one whose threads compute all of them.

    ``units`` None: the calls say how many there are.  Raises UnsupportedOperation for what has no meaning on a GPU."""
    names = [*ARGUMENTS, "lo", "hi", *([SCRATCH] if spec.scratch_bytes else [])]
    params = dict(zip(names, func.params, strict=True))
    body = [part for part in _parts(func.body) if not isinstance(part, tirx.DeclBuffer)]
    declared = [inner for inner in statements(func.body) if isinstance(inner, tirx.DeclBuffer)]
    over = {name: [d for d in declared if hash(d.data) == hash(params[name])] for name in names if name not in ("lo", "hi")}
    outputs, scratch = ({hash(d.buffer) for d in over.get(name, [])} for name in ("o", SCRATCH))
    whole = body[0] if len(body) == 1 else tirx.SeqStmt(body)
    share = _Spread(outputs, scratch, units, {hash(params["lo"]), hash(params["hi"])}).threads(whole)
    pitch = -(-spec.scratch_bytes // 64) * 64
    blocks = 1 if share.many else -(-share.count // THREADS)
    with IRBuilder() as builder, TB.prim_func(s_tir=True):
        TB.func_name(symbol)
        TB.func_attr(gpu_attributes(symbol) | {"lowbit.launch": [share.count if share.many else 0, pitch]})
        handles = {name: TB.arg(name, _handle(params[name])) for name in ARGUMENTS}
        count = TB.arg(_COUNT, TB.int32()) if share.many else T.int32(units or 0)
        if pitch:
            handles[SCRATCH] = TB.arg(SCRATCH, _handle(params[SCRATCH]))
        buffers = {
            hash(d.buffer): (
                name,
                TB.decl_buffer([int(extent) for extent in d.buffer.shape], str(d.buffer.dtype), data=handles[name]),
            )
            for name, found in over.items()
            for d in found
        }
        with ExitStack() as stack:
            block = stack.enter_context(TB.launch_thread("blockIdx.x", blocks))
            thread = stack.enter_context(TB.launch_thread("threadIdx.x", THREADS))
            index = TB.Bind(block * THREADS + thread)
            lanes = Lanes({key: Place(buffer, _first(name, buffer, index, pitch)) for key, (name, buffer) in buffers.items()})
            lanes.values[hash(params["lo"]), 0], lanes.values[hash(params["hi"]), 0] = T.int32(0), count
            lanes.units = count
            with TB.If(index < (count * share.count if share.many else share.count)), TB.Then():
                share.emit(index, lanes)
    return builder.get()


def _handle(param: Any) -> Any:
    element = str(param.ty.element_type)
    return TB.handle(None if element in ("", "void") else element)


def _first(name: str, buffer: Any, index: Any, pitch: int) -> Any:
    """Where the thread's own part of a buffer begins."""
    return index * (pitch // (bits_of(str(buffer.dtype)) // 8)) if name == SCRATCH else 0
