"""One byte of x picks a table, one byte of w the entry: a sum of products (kernels/conv2d/look_up.py; TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.bytesums import Bytes
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.x86 import pshufb, vpermb
from lowbit.kernels.vectors import load, splat
from lowbit.targets import Target

__all__ = ["permute", "shuffle"]


def shuffle(spec: ConvSpec, target: Target) -> Arithmetic:
    """Tables of sixteen entries, one in every 16 bytes of the vector."""
    return _looked_up(spec, target.vector_bytes, 4, pshufb)


def permute(spec: ConvSpec, target: Target) -> Arithmetic:
    """Tables of 64 entries."""
    return _looked_up(spec, target.vector_bytes, 6, lambda table, index, nbytes: vpermb(table, index))


def _looked_up(spec: ConvSpec, nbytes: int, bits: int, look_up: Callable[[Any, Any, int], Any]) -> Arithmetic:
    """``bits`` of an index."""
    entries = 2**bits
    pitch = entries >> 8 - bits  # x holds the table's number in its upper bits

    def spread(kernel: Any, at: Any) -> Any:
        table = load(kernel.t, T.cast(kernel.x[at], "int32") * pitch, entries)
        if entries == nbytes:
            return table
        return tirx.Shuffle([table] * (nbytes // entries), [tirx.IntImm("int32", i) for i in range(nbytes)])

    return Arithmetic(
        nbytes,
        f"uint8x{nbytes}",
        ("uint8", nbytes),
        splat(spec.start, "uint8", nbytes),
        spread,
        lambda acc, a, w: acc + look_up(a, w, nbytes),
        bytes=Bytes(nbytes, spec.start, entries * entries),
    )
