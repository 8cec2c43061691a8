"""Products of neighbouring 32-bit words of a vector with themselves, for the forms ``*_pairs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from lowbit.kernels.data_movement.spec import WordRole
from lowbit.kernels.intrinsics.x86 import maddwd, vpdpbusd, vpdpwssd
from lowbit.kernels.vectors import repeated_bytes, splat

__all__ = ["add_products", "offset_bytes"]


def offset_bytes(first: int, second: int, added: int, roles: Sequence[WordRole]) -> Any:
    """int8 x 4 a word: what is added to bytes, ``added`` to all, ``first`` to those of a and -``second`` to those of b."""
    by_role = {WordRole.A: first, WordRole.B: -second, WordRole.ALONE: 0}
    return repeated_bytes([added + by_role[role] for role in roles], 4 * len(roles))


def add_products(acc: Any, values: Any, wide: bool, vnni: bool, roles: Sequence[WordRole]) -> Any:
    """acc (int32 a word) + the sum of a * b in the word of each a: b is moved under it, and 0 under all others.

    ``wide``: int16 values, else bytes, of which a is unsigned and b signed."""
    words = len(roles)
    nbytes, dtype, lanes = 4 * words, "int16" if wide else "int8", words * (2 if wide else 4)
    nothing = words  # the first lane of the second operand
    indices = [word + 1 if role is WordRole.A else nothing for word, role in enumerate(roles)]
    operands = [T.reinterpret(f"int32x{words}", values), splat(0, "int32", words)]
    other = T.reinterpret(f"{dtype}x{lanes}", tirx.Shuffle(operands, [tirx.IntImm("int32", index) for index in indices]))
    if vnni:
        return (vpdpwssd if wide else vpdpbusd)(acc, values, other, nbytes)
    return acc + maddwd(values, other, nbytes)
