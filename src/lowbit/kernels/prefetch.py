"""Lines of float32 fetched ahead of their use (TensorIR).

CPUs see for themselves which lines come next where they lie one behind the other, within a page of 4096 bytes.  The pixels of
a tile are far apart, and its results begin lines of their own: kernels ask for both while they multiply.  Bytes are a quarter
of the lines for as many products; with them nothing was gained (decision 41)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.layout import ELEMENT_BYTES, Layout
from lowbit.targets import Target

__all__ = ["LINE", "fetch", "is_far"]

LINE = 16  # floats


def is_far(layout: Layout, target: Target) -> bool:
    """Whether a kernel of ``target`` fetches this buffer ahead: on x86, floats that the level-2 cache does not hold."""
    return "sse2" in target.features and ELEMENT_BYTES[layout.dtype] == 4 and layout.nbytes > target.l2_bytes


def fetch(buffer: Any, offset: Any, nearest: bool = False) -> None:
    """Bring the line of this element into the level-2 cache, or the ``nearest``; an address without memory does no harm."""
    pointer, level = buffer.access_ptr("rw", offset=offset), T.int32(3 if nearest else 2)
    TB.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", pointer, T.int32(0), level, T.int32(1)))
