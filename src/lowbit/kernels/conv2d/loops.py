"""Loops of the K dimension, kept as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.vectors import fence

__all__ = ["FEW", "hidden", "loop", "wide"]

FEW = 3  # steps LLVM may unroll


def hidden(count: int, few: int = FEW) -> Any:
    """``count``, if it is more than ``few``, as a value LLVM does not know: it would unroll a short loop
    completely, reassociate the sums of all its steps and spill (77 instead of 100 GMAC/s for six steps on AVX2)."""
    return count if count <= few else T.cast(fence(T.float32(count), 1), "int32")


def wide(index: Any) -> Any:
    """An offset as int64: 32-bit offsets of several pixels LLVM computes in a vector register and takes out again, and
    those of weights it extends one by one."""
    return T.int64(index) if isinstance(index, int) else T.cast(index, "int64")


@contextmanager
def loop(extent: int) -> Iterator[Any]:
    """A serial loop, or no loop at all for one iteration."""
    if extent == 1:
        yield 0
    else:
        with TB.serial(extent) as index:
            yield index
