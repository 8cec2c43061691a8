"""How a kernel of a GPU is started: what its grid is, read from the TensorIR that was built for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

__all__ = ["Launch", "is_launched", "launch_of", "statements"]

_BLOCKS = ("blockIdx.x", "blockIdx.y", "blockIdx.z")
_THREADS = "threadIdx.x"


@dataclass(frozen=True)
class Launch:
    """``grid``: blocks along x, y, z;  ``threads``: of a block, along x;  ``shared_bytes``: of shared memory that the kernel does
    not declare itself, the size of a buffer of scope "shared.dyn".

    ``per_unit``: of kernels whose spec does not say how many units there are: threads a unit.  The grid then follows from the
    call, and the kernel has a last argument ``int n``, the units.  ``scratch_bytes``: of the memory ``m`` that each thread
    has of its own; the runtime gives the kernel a last pointer to that of all threads."""

    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int = 0
    per_unit: int = 0
    scratch_bytes: int = 0

    def blocks(self, units: int) -> tuple[int, int, int]:
        """The grid of a call of ``units`` units."""
        return (-(-units * self.per_unit // self.threads), 1, 1) if self.per_unit else self.grid

    @property
    def count(self) -> int:
        """Threads of the whole grid."""
        return prod(self.grid) * self.threads


def statements(node: Any) -> Iterator[Any]:
    """``node`` and every statement inside it, the outer ones first."""
    yield node
    if hasattr(node, "seq"):
        for part in node.seq:
            yield from statements(part)
    for name in ("body", "then_case", "else_case"):
        part = getattr(node, name, None)
        if part is not None:
            yield from statements(part)


def _extents(func: Any) -> dict[str, int]:
    from tvm import tirx

    found: dict[str, int] = {}
    for node in statements(func.body):
        if isinstance(node, tirx.AttrStmt) and node.attr_key == "thread_extent":
            found[str(node.node.thread_tag)] = int(node.value)
    return found


def is_launched(func: Any) -> bool:
    """Whether the PrimFunc is a kernel of a grid of threads, and not one of a range of units."""
    return _THREADS in _extents(func)


def launch_of(func: Any) -> Launch:
    """Of a PrimFunc with ``launch_thread``.  Its attribute "lowbit.launch", (per_unit, scratch_bytes), says the rest.

    Raises ValueError for a function without threads, or with threads along y or z."""
    from tvm import tirx

    extents = _extents(func)
    if unknown := set(extents) - {*_BLOCKS, _THREADS}:
        raise ValueError(f"kernels have blocks along x, y, z and threads along x; this one has {', '.join(sorted(unknown))}")
    if _THREADS not in extents:
        raise ValueError("the function has no launch_thread of threadIdx.x: it is none of a GPU")
    shared = 0
    for node in statements(func.body):
        if isinstance(node, tirx.AllocBuffer) and str(node.buffer.scope()) == "shared.dyn":
            bits = int("".join(c for c in str(node.buffer.dtype) if c.isdigit()))
            shared += prod(int(extent) for extent in node.buffer.shape) * bits // 8
    said = (func.attrs or {}).get("lowbit.launch")
    per_unit, scratch = (0, 0) if said is None else (int(value) for value in said)
    x, y, z = (extents.get(name, 1) for name in _BLOCKS)
    return Launch((x, y, z), extents[_THREADS], shared, per_unit, scratch)
