"""PTX instructions as statements of TensorIR: checked against TVM's table when they are built, printed as inline assembly.

An instruction that is not evaluated vanishes without a word, so all of them go through :func:`ptx`.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

__all__ = ["barrier", "commit", "copy16", "dp4a", "ptx", "wait"]


def ptx(text: str, *operands: Any) -> None:
    """The instruction ``text``; destinations come first, as in PTX."""
    TB.evaluate(T.ptx[text](*operands))


def dp4a(acc: Any, index: int, x: Any, w: Any) -> None:
    """acc[index] (int32) += the four products of the unsigned bytes of x and the signed bytes of w (both uint32)."""
    ptx("dp4a.u32.s32", acc[index], x, T.reinterpret("int32", w), acc[index])


def copy16(to: Any, to_index: Any, source: Any, index: Any) -> None:
    """cp.async: 16 bytes from element ``index`` of a global buffer to element ``to_index`` of a shared one, both on multiples
    of 16 bytes; there after :func:`wait`, for other threads after a barrier."""
    ptx("cp.async.cg.shared.global", to.ptr_to([to_index]), source.ptr_to([index]), 16)


def commit() -> None:
    """The copies since the last one are a group."""
    ptx("cp.async.commit_group")


def wait(groups: int) -> None:
    """Until all groups of this thread but the last ``groups`` are there."""
    ptx("cp.async.wait_group", groups)


def barrier() -> None:
    """Of all threads of the block."""
    TB.evaluate(T.tvm_storage_sync("shared"))
