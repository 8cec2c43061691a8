"""Vector expressions of TensorIR that every schedule is made of.  Sixteen lanes unless said otherwise.

LLVM splits a 16-lane vector into the target's registers (one zmm, two ymm, four xmm), so one
expression serves every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.intrinsics.neon import fcvtns
from lowbit.targets import Target

__all__ = [
    "LANES",
    "between",
    "clamp",
    "convert",
    "fence",
    "first_lanes",
    "idioms_of",
    "integer_result",
    "keep_order",
    "larger",
    "load",
    "load_channels",
    "operand",
    "pinned",
    "repeated_bytes",
    "smaller",
    "splat",
    "store",
    "to_integer",
    "wrapping",
]

LANES = 16
_NEON: ContextVar[bool] = ContextVar("neon", default=False)


@contextmanager
def idioms_of(target: Target) -> Iterator[None]:
    """Say the same things in the words that LLVM turns into the target's instructions: a comparison and a choice
    become one instruction on x86 but two on AArch64, which has instructions of its own."""
    token = _NEON.set("neon" in target.features)
    try:
        yield
    finally:
        _NEON.reset(token)


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def splat(value: Any, dtype: str, lanes: int = LANES) -> Any:
    """The scalar (a number or an expression) in every lane."""
    scalar = getattr(T, dtype)(value) if isinstance(value, int | float) else value
    return scalar if lanes == 1 else T.broadcast(scalar, lanes)


def load(buffer: Any, index: Any, lanes: int = LANES) -> Any:
    """Elements index .. index + lanes - 1."""
    return buffer[index if lanes == 1 else T.ramp(index, 1, lanes)]


def first_lanes(value: Any, valid: int, dtype: str, lanes: int = LANES) -> Any:
    """The first ``valid`` lanes; 0 in those behind them."""
    if valid >= lanes:
        return value
    inside = T.ramp(T.int32(0), 1, lanes) < splat(valid, "int32", lanes)
    return T.Select(inside, value, splat(0, dtype, lanes))


def load_channels(buffer: Any, index: Any, valid: int, lanes: int = LANES) -> Any:
    """``lanes`` elements of which the first ``valid`` belong to the pixel; the others become 0, because
    what follows a buffer need not be a finite float."""
    return first_lanes(load(buffer, index, lanes), valid, str(buffer.dtype), lanes)


def store(buffer: Any, index: Any, value: Any, lanes: int = LANES) -> None:
    TB.buffer_store(buffer, value, [index if lanes == 1 else T.ramp(index, 1, lanes)])


def convert(value: Any, dtype: str, lanes: int = LANES) -> Any:
    """C conversion of every lane (float to integer truncates)."""
    return T.cast(value, _vector(dtype, lanes))


def wrapping(op: str, a: Any, b: Any, dtype: str, lanes: int = LANES) -> Any:
    """``op`` "add", "sub", "mul" or "shl" of integers modulo 2^bits.

    TVM marks its own integer arithmetic as free of overflow; LLVM's vector-predicated operations with all
    lanes on make no such promise and become the same instructions."""
    on = T.broadcast(T.bool(True), lanes)
    return T.call_llvm_pure_intrin(_vector(dtype, lanes), f"llvm.vp.{op}", a, b, on, T.int32(lanes))


def repeated_bytes(words: Sequence[int], lanes: int) -> Any:
    """int8 x lanes: four times words[0], four times words[1] and so on, each modulo 256, over and over."""
    values = [(word % 256 * 0x01010101 + 2**31) % 2**32 - 2**31 for word in words]
    count = lanes // 4
    vector = tirx.Shuffle(
        [T.int32(values[i % len(values)]) for i in range(count)], [tirx.IntImm("int32", i) for i in range(count)]
    )
    return T.reinterpret(f"int8x{lanes}", vector)


def fence(value: Any, lanes: int = LANES) -> Any:
    """A float32 product that must be rounded before it is added to anything (no FMA)."""
    return T.call_llvm_pure_intrin(_vector("float32", lanes), "llvm.arithmetic.fence", value)


def pinned(value: Any, dtype: str, lanes: int) -> Any:
    """The integers, in an order of computation that LLVM must keep: it does not look through the fence."""
    count = int("".join(c for c in dtype if c.isdigit())) * lanes // 32
    return T.reinterpret(_vector(dtype, lanes), fence(T.reinterpret(_vector("float32", count), value), count))


def keep_order(value: Any) -> None:
    """LLVM may not move instructions past this point.  It takes none itself: ``value`` is only said to be used."""
    TB.evaluate(T.call_llvm_intrin("void", "llvm.fake.use", value))


def clamp(value: Any, lo: Any, hi: Any) -> Any:
    """min(max(value, lo), hi); NaN becomes lo, which is also what one maxps or fmaxnm does."""
    if _NEON.get():
        dtype = str(value.ty)
        bounded = T.call_llvm_pure_intrin(dtype, "llvm.maxnum", value, lo)
        return T.call_llvm_pure_intrin(dtype, "llvm.minnum", bounded, hi)
    value = T.Select(value > lo, value, lo)
    return T.Select(value < hi, value, hi)


def between(value: Any, lo: Any, hi: Any) -> Any:
    """min(max(value, lo), hi) of floats; NaN stays NaN, as in maxps with the value second, and in fmax."""
    if _NEON.get():
        dtype = str(value.ty)
        bounded = T.call_llvm_pure_intrin(dtype, "llvm.maximum", value, lo)
        return T.call_llvm_pure_intrin(dtype, "llvm.minimum", bounded, hi)
    value = T.Select(value < lo, lo, value)
    return T.Select(value > hi, hi, value)


def larger(old: Any, value: Any, dtype: str, lanes: int = LANES) -> Any:
    """max of two vectors; of floats NaN where either is."""
    if dtype != "float32":
        return T.max(old, value)
    if _NEON.get():
        return T.call_llvm_pure_intrin(_vector(dtype, lanes), "llvm.maximum", old, value)
    return T.Select(old == old, T.Select(old > value, old, value), old)  # maxps gives the second where one is NaN


def smaller(old: Any, value: Any, dtype: str, lanes: int = LANES) -> Any:
    """min of two vectors; of floats NaN where either is."""
    if dtype != "float32":
        return T.min(old, value)
    if _NEON.get():
        return T.call_llvm_pure_intrin(_vector(dtype, lanes), "llvm.minimum", old, value)
    return T.Select(old == old, T.Select(old < value, old, value), old)  # minps gives the second where one is NaN


def operand(stored: Any, step: Any, shift: Any, lanes: int = LANES) -> Any:
    """v = f32(stored) * step + shift: small integers, exact however it is evaluated."""
    return convert(stored, "float32", lanes) * splat(step, "float32", lanes) + splat(shift, "float32", lanes)


def to_integer(value: Any, lanes: int = LANES) -> Any:
    """rint, half to even, as int32.  The value must lie in int32's range."""
    if _NEON.get() and lanes % 4 == 0:
        dtype = str(value.ty)
        if dtype.startswith("float64"):
            return convert(T.call_llvm_pure_intrin(dtype, "llvm.roundeven", value), "int32", lanes)
        return fcvtns(value, lanes)
    return T.call_llvm_pure_intrin(_vector("int32", lanes), "llvm.lrint", value)


def integer_result(f: Any, lo: Any, hi: Any, zero: Any, dtype: str, sign: bool, lanes: int = LANES) -> Any:
    """Stored element of a real value f in units of the output scale (see kernels/spec.py).

    ``lo``, ``hi``: float32 scalars that hold integers, so clamping before rint equals clamping after
    it, and keeps the conversion in range.  ``zero``: int32 scalar.
    """
    if sign:
        return convert(f >= splat(0.0, "float32", lanes), dtype, lanes)
    bounded = clamp(f, splat(lo, "float32", lanes), splat(hi, "float32", lanes))
    if _NEON.get():  # modulo 2^8 or 2^16 the same sum, in fewer registers
        return convert(to_integer(bounded, lanes), dtype, lanes) + splat(T.cast(zero, dtype), dtype, lanes)
    return convert(to_integer(bounded, lanes) + splat(zero, "int32", lanes), dtype, lanes)
