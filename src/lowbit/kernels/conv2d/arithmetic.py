"""The inner step of every form: broadcast k_group inputs, multiply, accumulate (TensorIR)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script import tirx as T

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.bytesums import Bytes
from lowbit.kernels.conv2d.inner_step import Arithmetic
from lowbit.kernels.conv2d.neon import NEON
from lowbit.kernels.intrinsics.x86 import maddubs, maddwd, pshufb, vpdpbusd, vpdpwssd, vpermb
from lowbit.kernels.spec import ConvSpec
from lowbit.kernels.vectors import load, splat, wrapping
from lowbit.targets import Target

__all__ = ["Arithmetic", "choose_arithmetic"]


def choose_arithmetic(spec: ConvSpec, target: Target) -> Arithmetic:
    """The arithmetic of ``spec.form`` in the vectors of ``target``."""
    makers = {**_MAKERS, **NEON} if "neon" in target.features else _MAKERS
    if spec.form not in makers:
        raise UnsupportedPrecision(f"no kernel of form {spec.form!r}; forms: {', '.join(makers)}")
    return makers[spec.form](spec, target.vector_bytes)


def _ints(lanes: int) -> Any:
    return splat(0, "int32", lanes)


def _spread_bytes(dtype: str, nbytes: int) -> Callable[[Any, Any], Any]:
    """Four bytes of x, as one dword, in every lane."""
    per_dword = 4 // (2 if dtype == "int16" else 1)

    def spread(kernel: Any, at: Any) -> Any:
        word = T.reinterpret("int32", load(kernel.x, at, per_dword))
        return T.reinterpret(f"{dtype}x{nbytes // 4 * per_dword}", T.broadcast(word, nbytes // 4))

    return spread


_X0_0_X1_0 = 0x80018000 - (1 << 32)  # shuffle indices 0, none, 1, none


def _dwords(pattern: list[int], nbytes: int, dtype: str) -> Any:
    """A constant vector that repeats these 32-bit words, as lanes of an 8-bit ``dtype``."""
    count = nbytes // 4
    words = [T.int32(word) for word in pattern] * (count // len(pattern))
    return T.reinterpret(f"{dtype}x{nbytes}", tirx.Shuffle(words, [tirx.IntImm("int32", i) for i in range(count)]))


def _spread_words(spec: ConvSpec, nbytes: int) -> Callable[[Any, Any], Any]:
    """Two int16 values in every lane; bytes are widened on the way."""
    if spec.src.dtype == "i16":
        return _spread_bytes("int16", nbytes)
    if nbytes >= 32:  # one byte shuffle after the broadcast: x0 0 x1 0 in every lane
        four, mask = _spread_bytes("uint8", nbytes), _dwords([_X0_0_X1_0], nbytes, "uint8")
        return lambda kernel, at: T.reinterpret(f"int16x{nbytes // 2}", pshufb(four(kernel, at), mask, nbytes))

    def spread(kernel: Any, at: Any) -> Any:
        pair = T.reinterpret("int32", T.cast(load(kernel.x, at, 2), "int16x2"))
        return T.reinterpret(f"int16x{nbytes // 2}", T.broadcast(pair, nbytes // 4))

    return spread


def _f32(spec: ConvSpec, nbytes: int) -> Arithmetic:
    lanes = nbytes // 4
    return Arithmetic(
        lanes,
        f"float32x{lanes}",
        ("float32", lanes),
        splat(0.0, "float32", lanes),
        lambda kernel, at: T.broadcast(kernel.x[at], lanes),
        lambda acc, a, w: T.call_llvm_pure_intrin(f"float32x{lanes}", "llvm.fmuladd", a, w, acc),
    )


def _u8_vnni(spec: ConvSpec, nbytes: int) -> Arithmetic:
    lanes, step = nbytes // 4, partial(vpdpbusd, nbytes=nbytes)
    return Arithmetic(lanes, f"int32x{lanes}", ("int8", nbytes), _ints(lanes), _spread_bytes("uint8", nbytes), step)


def _u8_maddubs(spec: ConvSpec, nbytes: int) -> Arithmetic:
    lanes, spread = nbytes // 4, _spread_bytes("uint8", nbytes)
    ones = splat(1, "int16", nbytes // 2)
    if spec.depth == 1:
        return Arithmetic(
            lanes,
            f"int32x{lanes}",
            ("int8", nbytes),
            _ints(lanes),
            spread,
            lambda acc, a, w: acc + maddwd(maddubs(a, w, nbytes), ones, nbytes),
        )
    return Arithmetic(
        lanes,
        f"int16x{nbytes // 2}",
        ("int8", nbytes),
        splat(0, "int16", nbytes // 2),
        spread,
        lambda acc, a, w: acc + maddubs(a, w, nbytes),
        lambda acc: maddwd(acc, ones, nbytes),
    )


def _pairs(dtype: str, multiply: Callable[[Any, Any, Any], Any]) -> Callable[[ConvSpec, int], Arithmetic]:
    """(a + w_b) * (b + w_a), two products in one multiplication, of the inputs that PackPairsSpec made."""

    def make(spec: ConvSpec, nbytes: int) -> Arithmetic:
        lanes, elements, group = nbytes // 4, nbytes // np.dtype(dtype).itemsize, spec.k_group // 2

        def word(kernel: Any, at: Any) -> Any:
            return T.reinterpret("int32", load(kernel.x, at, group))

        def spread(kernel: Any, at: Any) -> tuple[Any, Any]:
            a, b = (T.broadcast(word(kernel, at + half * group), lanes) for half in range(2))
            return T.reinterpret(f"{dtype}x{elements}", a), T.reinterpret(f"{dtype}x{elements}", b)

        def step(acc: Any, x: tuple[Any, Any], w: tuple[Any, Any]) -> Any:
            return multiply(acc, wrapping("add", x[0], w[1], dtype, elements), wrapping("add", x[1], w[0], dtype, elements))

        first = lambda kernel, at: word(kernel, at + spec.src.c)  # noqa: E731
        return Arithmetic(lanes, f"int32x{lanes}", (dtype, elements), _ints(lanes), spread, step, rows=2, first=first)

    return make


def _i16_vnni(spec: ConvSpec, nbytes: int) -> Arithmetic:
    lanes, step = nbytes // 4, partial(vpdpwssd, nbytes=nbytes)
    return Arithmetic(lanes, f"int32x{lanes}", ("int16", nbytes // 2), _ints(lanes), _spread_words(spec, nbytes), step)


def _i16_maddwd(spec: ConvSpec, nbytes: int) -> Arithmetic:
    lanes = nbytes // 4
    return Arithmetic(
        lanes,
        f"int32x{lanes}",
        ("int16", nbytes // 2),
        _ints(lanes),
        _spread_words(spec, nbytes),
        lambda acc, a, w: acc + maddwd(a, w, nbytes),
    )


def _portable(weight: str) -> Callable[[ConvSpec, int], Arithmetic]:
    def make(spec: ConvSpec, nbytes: int) -> Arithmetic:
        lanes = nbytes // 4
        return Arithmetic(
            lanes,
            f"int32x{lanes}",
            (weight, lanes),
            _ints(lanes),
            lambda kernel, at: T.broadcast(T.cast(kernel.x[at], "int32"), lanes),
            lambda acc, a, w: acc + a * T.cast(w, f"int32x{lanes}"),
        )

    return make


def _bit_popcount(spec: ConvSpec, nbytes: int) -> Arithmetic:
    """acc - popcount(x xor w): the count of ones of w, which completes the sum, is in the bias."""
    lanes = nbytes // 4
    return Arithmetic(
        lanes,
        f"int32x{lanes}",
        ("int32", lanes),
        _ints(lanes),
        _spread_bits(lanes),
        lambda acc, a, w: acc - T.call_llvm_pure_intrin(f"int32x{lanes}", "llvm.ctpop", a ^ w),
    )


def _spread_bits(lanes: int) -> Callable[[Any, Any], Any]:
    return lambda kernel, at: T.broadcast(T.reinterpret("int32", load(kernel.x, at, 4)), lanes)


def _bit_shuffle(spec: ConvSpec, nbytes: int) -> Arithmetic:
    """Counts by table: popcount(byte) = table[low nibble] + table[high nibble]."""
    lanes = nbytes // 4
    table = _dwords([0x02010100, 0x03020201, 0x03020201, 0x04030302], nbytes, "uint8")  # counts of 0 .. 15
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


def _lut(look_up: Callable[[Any, Any, int], Any], bits: int) -> Callable[[ConvSpec, int], Arithmetic]:
    """One byte of x picks a table, one byte of w the entry, ``bits`` bits of it: a sum of products (look_up.py)."""
    entries = 2**bits
    pitch = entries >> 8 - bits  # x holds the table's number in its upper bits

    def make(spec: ConvSpec, nbytes: int) -> Arithmetic:
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

    return make


_MAKERS: dict[str, Callable[[ConvSpec, int], Arithmetic]] = {
    "bit_popcount": _bit_popcount,
    "bit_shuffle": _bit_shuffle,
    "bit_portable": _bit_popcount,
    "lut_shuffle_bits": _lut(pshufb, 4),
    "lut_permute": _lut(lambda table, index, nbytes: vpermb(table, index), 6),
    "lut_shuffle": _lut(pshufb, 4),
    "u8_vnni_pairs": lambda spec, nbytes: _pairs("int8", partial(vpdpbusd, nbytes=nbytes))(spec, nbytes),
    "u8_vnni": _u8_vnni,
    "u8_maddubs": _u8_maddubs,
    "u8_split": _u8_maddubs,
    "i16_vnni_pairs": lambda spec, nbytes: _pairs("int16", partial(vpdpwssd, nbytes=nbytes))(spec, nbytes),
    "i16_maddwd_pairs": lambda spec, nbytes: _pairs("int16", lambda acc, p, q: acc + maddwd(p, q, nbytes))(spec, nbytes),
    "i16_vnni": _i16_vnni,
    "i16_maddwd": _i16_maddwd,
    "u8_portable": _portable("int8"),
    "i16_portable": _portable("int16"),
    "f32": _f32,
}
