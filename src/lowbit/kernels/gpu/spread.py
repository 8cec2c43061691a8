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

from collections.abc import Callable, Sequence
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
from lowbit.kernels.gpu.lanes import Lanes, Place, bits_of, kind_of, lanes_of
from lowbit.kernels.gpu.launch import statements
from lowbit.kernels.gpu.one_thread import bind, emit_statements
from lowbit.kernels.gpu.reading import all_expressions, buffers_allocated, buffers_read, common_lanes, parts_of, walk
from lowbit.kernels.spec import KernelSpec

__all__ = ["THREADS", "spread"]

THREADS = 128  # of a block
_COUNT = "n"
_BITS = "uint16"  # of a float16


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
        return {hash(expr) for expr in walk(stmt.extent) if kind_of(expr) == "Var"} == self.range

    def independent(self, stmt: Any) -> bool:
        """Whether ``stmt`` writes only results and what is its own, and reads no results.  A unit's scratch memory is its own."""
        own = buffers_allocated(stmt) | self.outputs
        for inner in statements(stmt):
            if self.over_units(inner):
                own |= self.scratch
        writes = {hash(inner.buffer) for inner in statements(stmt) if isinstance(inner, tirx.BufferStore)}
        return writes <= own and not buffers_read(stmt) & self.outputs

    def threads(self, stmt: Any, context: tuple[Any, ...] = ()) -> _Threads:
        """How ``stmt`` is shared out.  ``context``: vectors bound before it."""
        parts = parts_of(stmt)
        work = [part for part in parts if not isinstance(part, tirx.Bind | tirx.DeclBuffer | tirx.AllocBuffer)]
        bound = [part for part in parts if isinstance(part, tirx.Bind)]
        if len(parts) > 1:
            apart = all(map(self.independent, work)) and not any(buffers_read(part) & self.outputs for part in bound)
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
                    bind(part, lanes)
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
        count = common_lanes(whole, self.scratch)
        if any(map(self.over_units, (inner for part in whole for inner in statements(part)))) and self.units is None:
            raise UnsupportedOperation("units that depend on one another, of a kernel whose calls say how many there are")

        def emit(index: Any, lanes: Lanes) -> None:
            emit_statements(whole, lanes.copy(index if count > 1 else None), count)

        return _Threads(count, emit)


def _needed(context: Sequence[Any], parts: Sequence[Any]) -> list[Any]:
    """Those of the statements that bind what ``parts``, or one another, use."""
    used = {hash(expr) for part in parts for expr in all_expressions(part) if kind_of(expr) == "Var"}
    found: list[Any] = []
    for stmt in reversed(context):
        if hash(stmt.var) in used:
            found.insert(0, stmt)
            used |= {hash(expr) for expr in walk(stmt.value) if kind_of(expr) == "Var"}
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


def spread(func: Any, spec: KernelSpec, symbol: str, units: int | None, halves: frozenset[str] = frozenset()) -> Any:
    """The PrimFunc of a CPU's kernel, which computes units lo .. hi, as one whose threads compute all of them.

    ``units`` None: the calls say how many there are.  ``halves``: pointers to float16 where the CPU's kernel has float32
    (halves.py).  Raises UnsupportedOperation for what has no meaning on a GPU."""
    names = [*ARGUMENTS, "lo", "hi", *([SCRATCH] if spec.scratch_bytes else [])]
    params = dict(zip(names, func.params, strict=True))
    body = [part for part in parts_of(func.body) if not isinstance(part, tirx.DeclBuffer)]
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
        handles = {name: TB.arg(name, TB.handle(_BITS) if name in halves else _handle(params[name])) for name in ARGUMENTS}
        count = TB.arg(_COUNT, TB.int32()) if share.many else T.int32(units or 0)
        if pitch:
            handles[SCRATCH] = TB.arg(SCRATCH, _handle(params[SCRATCH]))
        buffers = {
            hash(d.buffer): (
                name,
                TB.decl_buffer(
                    [int(n) for n in d.buffer.shape], _BITS if name in halves else str(d.buffer.dtype), data=handles[name]
                ),
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
