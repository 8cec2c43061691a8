"""A step's input in every lane (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.x86 import pshufb
from lowbit.kernels.vectors import load, splat

__all__ = ["dwords", "ints", "spread_bytes", "spread_words"]

_X0_0_X1_0 = 0x80018000 - (1 << 32)  # shuffle indices 0, none, 1, none


def ints(lanes: int) -> Any:
    """int32 zeros."""
    return splat(0, "int32", lanes)


def dwords(pattern: list[int], nbytes: int, dtype: str) -> Any:
    """A constant vector that repeats these 32-bit words, as lanes of an 8-bit ``dtype``."""
    count = nbytes // 4
    words = [T.int32(word) for word in pattern] * (count // len(pattern))
    return T.reinterpret(f"{dtype}x{nbytes}", tirx.Shuffle(words, [tirx.IntImm("int32", i) for i in range(count)]))


def spread_bytes(dtype: str, nbytes: int) -> Callable[[Any, Any], Any]:
    """Four bytes of x, as one dword, in every lane."""
    per_dword = 4 // (2 if dtype == "int16" else 1)

    def spread(kernel: Any, at: Any) -> Any:
        word = T.reinterpret("int32", load(kernel.x, at, per_dword))
        return T.reinterpret(f"{dtype}x{nbytes // 4 * per_dword}", T.broadcast(word, nbytes // 4))

    return spread


def spread_words(spec: ConvSpec, nbytes: int) -> Callable[[Any, Any], Any]:
    """Two int16 values in every lane; bytes are widened on the way."""
    if spec.src.dtype == "i16":
        return spread_bytes("int16", nbytes)
    if nbytes >= 32:  # one byte shuffle after the broadcast: x0 0 x1 0 in every lane
        four, mask = spread_bytes("uint8", nbytes), dwords([_X0_0_X1_0], nbytes, "uint8")
        return lambda kernel, at: T.reinterpret(f"int16x{nbytes // 2}", pshufb(four(kernel, at), mask, nbytes))

    def spread(kernel: Any, at: Any) -> Any:
        pair = T.reinterpret("int32", T.cast(load(kernel.x, at, 2), "int16x2"))
        return T.reinterpret(f"int16x{nbytes // 2}", T.broadcast(pair, nbytes // 4))

    return spread
