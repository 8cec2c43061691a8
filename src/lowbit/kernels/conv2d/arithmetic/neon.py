"""The inner steps of the NEON forms (TensorIR): see ``Arithmetic``.

Inputs are loaded sixteen bytes at a time, ``batch`` steps' worth; a step takes its values out of that
register as an operand "by element" or with one ``dup``.

``smull`` and ``sdot`` multiply signed bytes.  Stored inputs are unsigned; where they can exceed 127 the kernel
flips their upper bit, x ^ 0x80 = x - 128 as a signed byte (``ConvSpec.centre``; forms/neon.py has the rest).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic, Spreads, batched
from lowbit.kernels.conv2d.bytesums import Bytes
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.intrinsics.neon import cnt, lane, sadd_pairs, sdot, smull, sum_of_products, tbl
from lowbit.kernels.vectors import convert, load, pinned, splat, wrapping
from lowbit.targets import Target

__all__ = ["of_bits", "of_bytes", "of_bytes_by_four", "of_sums", "of_tables", "of_words"]

_FLIPPED = 128  # the upper bit
_BIT_START = 255  # what a byte counter of ones counts down from


def _from_bytes(spec: ConvSpec, dtype: str) -> Spreads:
    """Sixteen inputs as signed bytes; a step takes one lane of ``dtype`` of them."""
    lanes = 128 // int(dtype.removeprefix("int"))

    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        values = load(kernel.x, at)
        if spec.centre:
            values = values ^ splat(T.uint8(_FLIPPED), "uint8")
        values = TB.Bind(T.reinterpret(f"{dtype}x{lanes}", values))
        return lambda step: T.reinterpret("int8x16", lane(values, step, lanes))

    return spreads


def of_bytes(spec: ConvSpec, target: Target) -> Arithmetic:
    """Pairs of inputs; products meet in int16, one lane for each of the pair, for ``depth`` steps."""
    inputs = batched(_from_bytes(spec, "int16"), 8)
    if spec.depth == 1:
        zero = splat(0, "int32", 8)
        return Arithmetic(8, "int32x8", ("int8", 16), zero, step=lambda acc, a, w: acc + sadd_pairs(smull(a, w, 16)), **inputs)
    return Arithmetic(
        8,
        "int16x16",
        ("int8", 16),
        splat(0, "int16", 16),
        step=lambda acc, a, w: acc + smull(a, w, 16),
        total=sadd_pairs,
        **inputs,
    )


def of_sums(spec: ConvSpec, target: Target) -> Arithmetic:
    """(a + w_b) * (b + w_a) of a step's first two inputs a and last two b: two products in one multiplication
    (pairs.py), which is the scarce unit; the sum of a * b is found beside."""

    def signed(kernel: Any, at: Any) -> Any:
        return T.reinterpret("int16x8", wrapping("sub", load(kernel.x, at), splat(T.uint8(spec.centre), "uint8"), "uint8", 16))

    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        values = TB.Bind(signed(kernel, at))
        return lambda step: tuple(T.reinterpret("int8x16", lane(values, 2 * step + half, 8)) for half in range(2))

    def step(acc: Any, x: tuple[Any, Any], w: tuple[Any, Any]) -> Any:
        first, second = (wrapping("add", x[half], w[1 - half], "int8", 16) for half in range(2))
        product = smull(first, second, 16)
        return acc + (sadd_pairs(product) if spec.depth == 1 else product)

    wide = spec.depth == 1
    return Arithmetic(
        8,
        "int32x8" if wide else "int16x16",
        ("int8", 16),
        splat(0, "int32", 8) if wide else splat(0, "int16", 16),
        step=step,
        total=(lambda acc: acc) if wide else sadd_pairs,
        rows=2,
        beside=lambda kernel, at, count: sum_of_products(signed(kernel, at), count),
        **batched(spreads, 4),
    )


def of_bytes_by_four(spec: ConvSpec, target: Target) -> Arithmetic:
    inputs = batched(_from_bytes(spec, "int32"), 4)
    return Arithmetic(4, "int32x4", ("int8", 16), splat(0, "int32", 4), step=lambda acc, a, w: sdot(acc, w, a), **inputs)


def of_words(spec: ConvSpec, target: Target) -> Arithmetic:
    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        values = TB.Bind(convert(load(kernel.x, at, 8), "int16", 8))
        return lambda step: lane(values, step, 8)

    zero = splat(0, "int32", 8)
    return Arithmetic(
        8,
        "int32x8",
        ("int16", 8),
        zero,
        step=lambda acc, a, w: acc + smull(a, w, 8),
        product=lambda a, w: smull(a, w, 8),
        **batched(spreads, 8),
    )


def of_bits(spec: ConvSpec, target: Target) -> Arithmetic:
    """Eight bits of input in every byte; a byte counts its channel's ones of x xor w down from _BIT_START."""

    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        values = TB.Bind(load(kernel.x, at))
        return lambda step: lane(values, step, 16)

    return Arithmetic(
        16,
        "uint8x16",
        ("uint8", 16),
        splat(T.uint8(_BIT_START), "uint8", 16),
        step=lambda acc, a, w: pinned(acc - cnt(a ^ w), "uint8", 16),
        bytes=Bytes(16, _BIT_START, 1),
        **batched(spreads, 8),
    )


def of_tables(spec: ConvSpec, target: Target) -> Arithmetic:
    """A byte of x is the offset of a table of sixteen sums of two products (look_up.py)."""

    def spreads(kernel: Any, at: Any) -> Callable[[int], Any]:
        return lambda step: load(kernel.t, T.cast(kernel.x[at + step], "int32"))

    return Arithmetic(
        16,
        "uint8x16",
        ("uint8", 16),
        splat(T.uint8(spec.start), "uint8", 16),
        step=lambda acc, a, w: pinned(acc + tbl(a, w), "uint8", 16),
        bytes=Bytes(16, spec.start, 256),
        **batched(spreads, 4),
    )
