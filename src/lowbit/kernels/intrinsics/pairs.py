"""Products of neighbouring 32-bit words of a vector with themselves, for the forms ``*_pairs``."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.intrinsics.x86 import maddwd, vpdpbusd, vpdpwssd
from lowbit.kernels.vectors import splat

__all__ = ["add_products"]


def add_products(acc: Any, values: Any, nbytes: int, wide: bool, vnni: bool) -> Any:
    """acc (int32 a word) + the sum of a * b in every second word: b is moved under a, and 0 comes above.

    ``wide``: int16 values, else bytes, of which a is unsigned and b signed."""
    dtype, lanes = ("int16", nbytes // 2) if wide else ("int8", nbytes)
    shifted = T.shift_right(T.reinterpret(f"uint64x{nbytes // 8}", values), splat(T.uint64(32), "uint64", nbytes // 8))
    other = T.reinterpret(f"{dtype}x{lanes}", shifted)
    if vnni:
        return (vpdpwssd if wide else vpdpbusd)(acc, values, other, nbytes)
    return acc + maddwd(values, other, nbytes)
