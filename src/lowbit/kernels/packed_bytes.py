"""Thirty-two or sixty-four stored bytes at once, from as many real values (x86).

The same numbers as ``integer_result`` makes sixteen at a time: clamped, rounded, plus zero.  Values up to hi pack without
losing anything but what the lower bound takes away anyway:

    int32 x 16 of four vectors -> packssdw, packssdw (+ zero, int16) -> packuswb -> dwords in the channels' order

Packing goes by 16 bytes, so dword 4l + t holds channels 16t + 4l .. + 3: one permutation of dwords puts them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from lowbit.kernels.intrinsics.x86 import packssdw, packuswb, paddsw
from lowbit.kernels.vectors import LANES, clamp, convert, splat, to_integer

__all__ = ["in_order", "packed_bytes", "packed_together"]


def packed_together(vectors: int) -> int:
    """How many of so many vectors of values are packed at once; 1: none."""
    return 4 if vectors >= 4 else min(vectors, 2)


def packed_bytes(values: Sequence[Any], lo: Any, hi: Any, zero: Any, saturate: bool, bounded: bool = False) -> Any:
    """uint8 x 16 a value of ``values``, two or four float32 x 16 in units of the output scale.

    ``lo``, ``hi``: float32 scalars that hold integers, stored bytes less zero; ``zero``: int32 scalar.
    ``saturate``: by the instructions of AVX-512BW, which spare the lower bound of each value, and where all are ``bounded``,
    within int32, the upper one as well: bytes are clamped instead."""
    bound = clamp if not saturate else _as_it_is if bounded else _at_most
    words = [to_integer(bound(value, splat(lo, "float32"), splat(hi, "float32"))) for value in values]
    offset, count = splat(T.cast(zero, "int16"), "int16", 2 * LANES), LANES * len(words)
    halves = [_plus(_halfwords(a, b, saturate), offset, bounded) for a, b in zip(words[::2], words[1::2], strict=True)]
    stored = in_order(_bytes(halves[0], halves[-1], saturate), count)
    if not saturate:
        return stored
    least, most = (splat(T.cast(T.cast(end, "int32") + zero, "uint8"), "uint8", count) for end in (lo, hi))
    return T.max(T.min(stored, most) if bounded else stored, least)


def _as_it_is(value: Any, lo: Any, hi: Any) -> Any:
    return value


def _plus(halfwords: Any, offset: Any, saturated: bool) -> Any:
    """Of what packing saturated already, the sum has to saturate as well."""
    return paddsw(halfwords, offset) if saturated else halfwords + offset


def _at_most(value: Any, lo: Any, hi: Any) -> Any:
    """One minps.  What is below int32 becomes its least number, which is also below ``lo``."""
    return T.Select(value < hi, value, hi)


def _halfwords(a: Any, b: Any, saturate: bool) -> Any:
    return packssdw(a, b) if saturate else _by_sixteen_bytes(convert(a, "int16"), convert(b, "int16"), 16, 4)


def _bytes(a: Any, b: Any, saturate: bool) -> Any:
    return packuswb(a, b) if saturate else _by_sixteen_bytes(convert(a, "uint8", 32), convert(b, "uint8", 32), 32, 8)


def in_order(mixed: Any, count: int = 4 * LANES) -> Any:
    """uint8 x count, 64 or 32: dword 4l + t of what packing mixed is dword 4t + l."""
    order = [4 * (d % 4) + d // 4 for d in range(count // 4)]
    dwords = tirx.Shuffle([T.reinterpret("int32x16", mixed)], [tirx.IntImm("int32", i) for i in order])
    return T.reinterpret(f"uint8x{count}", dwords)


def _by_sixteen_bytes(a: Any, b: Any, lanes: int, each: int) -> Any:
    """``each`` elements of a, ``each`` of b, and so on, of ``lanes`` elements each."""
    order = [i + j + of * lanes for i in range(0, lanes, each) for of in range(2) for j in range(each)]
    return tirx.Shuffle([a, b], [tirx.IntImm("int32", i) for i in order])
