"""A warp for each row: its lanes go through the row side by side, and reduce what they found by shuffles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.gpu.function import GpuFrame
from lowbit.kernels.gpu.launch import Launch

__all__ = ["WARP", "each_element", "one_row", "reduced", "rows_of"]

WARP = 32
_WARPS = 4  # of a block


def rows_of(count: int) -> Launch:
    """A warp for each of ``count`` rows."""
    return Launch((-(-count // _WARPS), 1, 1), _WARPS * WARP)


@contextmanager
def one_row(k: GpuFrame, count: int) -> Iterator[tuple[Any, Any]]:
    """(number of the warp's row, lane); warps beyond ``count`` do nothing, so that all lanes of a warp meet."""
    lane, row = TB.Bind(k.thread & (WARP - 1)), TB.Bind(k.block[0] * _WARPS + (k.thread >> 5))
    with TB.If(row < count), TB.Then():
        yield row, lane


@contextmanager
def each_element(lane: Any, count: int) -> Iterator[Any]:
    """The elements of a lane among ``count``: lane, lane + 32, ..."""
    with TB.serial(-(-count // WARP)) as turn:
        at = TB.Bind(turn * WARP + lane)
        if count % WARP == 0:
            yield at
        else:
            with TB.If(at < count), TB.Then():
                yield at


def reduced(value: Any, operation: Callable[[Any, Any], Any]) -> Any:
    """``operation`` over the int32 or int64 of all lanes, in every lane.  Of integers, whose order does not matter."""
    dtype = str(value.ty)
    for distance in (16, 8, 4, 2, 1):
        value = TB.Bind(value)
        other = TB.Bind(T.call_extern(dtype, "__shfl_xor_sync", T.uint32(0xFFFFFFFF), value, T.int32(distance)))
        value = operation(value, other)
    return TB.Bind(value)
