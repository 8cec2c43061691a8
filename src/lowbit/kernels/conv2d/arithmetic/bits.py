"""Ones of x xor w, counted (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.arithmetic.spread import dwords, ints
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.x86 import maddubs, maddwd, pshufb
from lowbit.kernels.vectors import load, splat
from lowbit.targets import Target

__all__ = ["popcount", "shuffle"]


def popcount(spec: ConvSpec, target: Target) -> Arithmetic:
    """acc - popcount(x xor w): the count of ones of w, which completes the sum, is in the bias."""
    lanes = target.vector_bytes // 4
    return Arithmetic(
        lanes,
        f"int32x{lanes}",
        ("int32", lanes),
        ints(lanes),
        _spread_bits(lanes),
        lambda acc, a, w: acc - T.call_llvm_pure_intrin(f"int32x{lanes}", "llvm.ctpop", a ^ w),
    )


def _spread_bits(lanes: int) -> Callable[[Any, Any], Any]:
    return lambda kernel, at: T.broadcast(T.reinterpret("int32", load(kernel.x, at, 4)), lanes)


def shuffle(spec: ConvSpec, target: Target) -> Arithmetic:
    """Counts by table: popcount(byte) = table[low nibble] + table[high nibble]."""
    nbytes = target.vector_bytes
    lanes = nbytes // 4
    table = dwords([0x02010100, 0x03020201, 0x03020201, 0x04030302], nbytes, "uint8")  # counts of 0 .. 15
    low = splat(15, "uint8", nbytes)

    def step(acc: Any, a: Any, w: Any) -> Any:
        bits = a ^ w
        high = T.shift_right(T.reinterpret(f"uint16x{nbytes // 2}", bits), splat(4, "uint16", nbytes // 2))
        nibbles = [T.bitwise_and(T.reinterpret(f"uint8x{nbytes}", part), low) for part in (bits, high)]
        return acc + (pshufb(table, nibbles[0], nbytes) + pshufb(table, nibbles[1], nbytes))

    def total(acc: Any) -> Any:
        pairs = maddubs(acc, splat(1, "int8", nbytes), nbytes)
        return maddwd(pairs, splat(-1, "int16", nbytes // 2), nbytes)

    return Arithmetic(lanes, f"uint8x{nbytes}", ("int32", lanes), splat(0, "uint8", nbytes), _spread_bits(lanes), step, total)
