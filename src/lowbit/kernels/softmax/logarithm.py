"""The logarithm of a sum of exponentials, in whole numbers, as every kernel of log softmax says it."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.graph.logarithm import LN2, MANTISSA, STEP_BITS, logarithms

__all__ = ["fixed_logarithm"]


def fixed_logarithm(table: Any, total: Any) -> Any:
    """2^24 ln total - t[last] (int32) of the float32 ``total``: see graph/logarithm.py."""
    rest, last = MANTISSA - STEP_BITS, len(logarithms())
    bits = TB.Bind(T.reinterpret("int32", total))
    index = TB.Bind((bits >> rest) & ((1 << STEP_BITS) - 1))
    part = bits & ((1 << rest) - 1)
    fraction = table[index] + (((table[index + 1] - table[index]) * part) >> rest)
    return ((bits >> MANTISSA) - 127) * LN2 + fraction - table[last]
