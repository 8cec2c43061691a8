"""Expressions of vectors, lane by lane: what a thread of a GPU computes of the CPUs' TensorIR.

Every product, sum, quotient and root of floats becomes a call that rounds once (``__fmul_rn``), whatever a compiler would
contract; whole numbers of fewer than 32 bits wrap, as they do in a CPU's vector, where C would widen them.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedOperation
from lowbit.kernels.gpu.halves import loaded

__all__ = ["Lanes", "Place", "bits_of", "children", "dtype_of", "intrinsic", "is_half", "kind_of", "lanes_of"]

_ROUNDED = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}
_WRAPPING = {"Add", "Sub", "Mul", "LShift"}
_SUFFIX = {"float32": "f", "float64": ""}
_LETTER = {"float32": "f", "float64": "d"}
_PARTS = ("value", "a", "b", "condition", "true_value", "false_value", "base", "stride")
_MANY = ("args", "indices", "vectors")


def _llvm(name32: str, name64: str, result: str = "") -> Callable[[str, list[Any]], Any]:
    """A call of the function that does the same in CUDA; ``result``: its dtype, "" = that of its operands."""
    names = {"float32": name32, "float64": name64, "int32": name32, "uint32": name32}
    return lambda dtype, args: T.call_pure_extern(result or dtype, names[dtype_of(args[0])], *args)


INTRINSICS: dict[str, Callable[[str, list[Any]], Any]] = {
    "llvm.arithmetic.fence": lambda dtype, args: args[0],  # what is fenced was rounded already
    "llvm.lrint": _llvm("__float2int_rn", "__double2int_rn", "int32"),
    "llvm.fabs": _llvm("fabsf", "fabs"),
    "llvm.floor": _llvm("floorf", "floor"),
    "llvm.sqrt": _llvm("__fsqrt_rn", "__dsqrt_rn"),
    "llvm.fmuladd": _llvm("__fmaf_rn", "__fma_rn"),
    "llvm.ctpop": _llvm("__popc", "__popc", "int32"),
}
"""LLVM's intrinsic -> (dtype, operands of one lane) -> the same in CUDA."""


@cache
def _intrinsic_name(number: int) -> str:
    import tvm

    return str(tvm.get_global_func("target.llvm_get_intrinsic_name")(number))


def kind_of(expr: Any) -> str:
    """``Add``, ``Call``, ..."""
    return type(expr).__name__


def dtype_of(expr: Any) -> str:
    """Of one lane."""
    return re.sub(r"x\d+$", "", str(expr.ty))


def lanes_of(expr: Any) -> int:
    found = re.search(r"x(\d+)$", str(expr.ty))
    return int(found[1]) if found else 1


def intrinsic(call: Any) -> str:
    """LLVM's name of what an expression calls, else TVM's."""
    name = str(getattr(call.op, "name", call.op))
    return _intrinsic_name(int(call.args[0].value)) if name.startswith("tirx.call_llvm") else name


def _operands(call: Any) -> list[Any]:
    return list(call.args)[1:] if intrinsic(call).startswith("llvm.") else list(call.args)


def children(expr: Any) -> Iterator[Any]:
    """Expressions that ``expr`` is made of."""
    if kind_of(expr) == "Call":
        yield from _operands(expr)
        return
    for name in _MANY[1:]:
        yield from getattr(expr, name, ())
    if kind_of(expr) not in ("IntImm", "FloatImm", "Var"):
        for name in _PARTS:
            part = getattr(expr, name, None)
            if part is not None and hasattr(part, "ty"):
                yield part


def _constant(expr: Any) -> Any:
    """A float: by its bits where what TVM prints of it is not enough, six digits of float32, fifteen decimals of float64."""
    value, dtype = float(expr.value), dtype_of(expr)
    printed = f"{value:.6e}" if dtype == "float32" else f"{value:.15f}"
    if isfinite(value) and float(printed) == value:
        return expr
    if dtype == "float32":
        (bits,) = struct.unpack("<i", struct.pack("<f", value))
        return T.call_pure_extern(dtype, "__int_as_float", T.int32(bits))
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return T.call_pure_extern(dtype, "__longlong_as_double", T.int64(bits))


def bits_of(dtype: str) -> int:
    """Of a scalar."""
    return 1 if dtype == "bool" else int("".join(c for c in dtype if c.isdigit()))


@dataclass(frozen=True)
class Place:
    """Where the elements of a buffer are now: in ``buffer``, from ``first`` on; of vectors of ``per`` elements, where that is
    not 0, only the thread's own lane."""

    buffer: Any
    first: Any = 0
    per: int = 0


def is_half(given: Any, buffer: Any) -> bool:
    """Whether float16 lies in ``buffer``, which is there for one of float32."""
    return str(given.dtype) == "float32" and str(buffer.dtype) == "uint16"


class Lanes:
    """Converts expressions of one function into those of another, a lane at a time.

    ``buffers``: hash of a buffer -> the new one.  ``lane``: the lane that this thread has, an expression; None: lanes are
    numbers, and a vector is as many values."""

    def __init__(self, buffers: Mapping[int, Place], lane: Any = None) -> None:
        self.buffers = dict(buffers)
        self.lane = lane
        self.units: Any = None  # of the call
        self.values: dict[tuple[int, int], Any] = {}  # (hash of a variable, lane) -> value
        self._uses: Counter[int] = Counter()
        self._made: dict[tuple[int, int], Any] = {}

    def copy(self, lane: Any) -> Lanes:
        """The same with another lane."""
        made = Lanes(self.buffers, lane)
        made.units, made.values = self.units, dict(self.values)
        return made

    def numbers(self, count: int) -> range:
        """The lanes to go through, of a vector of ``count``: the thread's own stands for all."""
        return range(1 if self.lane is not None else count)

    def begin(self, *exprs: Any) -> None:
        """A statement made of ``exprs`` follows: what they share is computed once."""
        self._uses.clear()
        self._made.clear()
        seen: set[int] = set()

        def count(expr: Any) -> None:
            self._uses[hash(expr)] += 1
            if hash(expr) not in seen:
                seen.add(hash(expr))
                for child in children(expr):
                    count(child)

        for expr in exprs:
            count(expr)

    def convert(self, expr: Any, lane: int = 0) -> Any:
        """The scalar in ``lane`` of ``expr``."""
        kind = kind_of(expr)
        if kind == "IntImm":
            return expr
        if kind == "FloatImm":
            return _constant(expr)
        if kind == "Broadcast":
            return self.convert(expr.value)
        if lanes_of(expr) == 1:
            lane = 0
        if kind == "Var":
            return self.values.get((hash(expr), lane), expr)
        key = hash(expr), lane
        if key not in self._made:
            made = getattr(self, f"_{kind.lower()}", self._binary)(expr, lane)
            if self._uses[hash(expr)] > 1 and kind_of(made) not in ("Var", "IntImm", "FloatImm"):
                made = TB.Bind(made)
            self._made[key] = made
        return self._made[key]

    def _ramp(self, expr: Any, lane: int) -> Any:
        number = self.lane if self.lane is not None else lane
        return self.convert(expr.base) + number * self.convert(expr.stride)

    def _cast(self, expr: Any, lane: int) -> Any:
        return T.cast(self.convert(expr.value, lane), dtype_of(expr))

    def _select(self, expr: Any, lane: int) -> Any:
        parts = (expr.condition, expr.true_value, expr.false_value)
        return T.Select(*(self.convert(part, lane) for part in parts))

    def at(self, buffer: Any, index: Any, lane: int) -> tuple[Any, Any]:
        """The new buffer and the index of an element of ``buffer``."""
        place = self.buffers[hash(buffer)]
        if place.per:
            return place.buffer, T.truncdiv(self.convert(index.base), T.int32(place.per))
        return place.buffer, place.first + self.convert(index, lane)

    def _tensorload(self, expr: Any, lane: int) -> Any:
        (place,) = expr.indices
        buffer, index = self.at(expr.source, place, lane)
        value = buffer[index]
        return loaded(value) if is_half(expr.source, buffer) else value

    def _shuffle(self, expr: Any, lane: int) -> Any:
        at = int(list(expr.indices)[lane].value)
        for vector in expr.vectors:
            count = lanes_of(vector)
            if at < count:
                return self.convert(vector, at)
            at -= count
        raise ValueError("a shuffle of lanes that are not there")

    def _call(self, expr: Any, lane: int) -> Any:
        name, operands = intrinsic(expr), _operands(expr)
        if name == "tirx.reinterpret":
            return self._reinterpreted(operands[0], expr, lane)
        if name not in INTRINSICS:
            raise UnsupportedOperation(f"{name} has no meaning on a GPU (kernels/gpu/lanes.py says which have)")
        return INTRINSICS[name](dtype_of(expr), [self.convert(operand, lane) for operand in operands])

    def _reinterpreted(self, source: Any, expr: Any, lane: int) -> Any:
        """Lanes of another width are made of the bits of several, or are some of those of one; the first has the lowest."""
        dtype, given = dtype_of(expr), dtype_of(source)
        wide, narrow = bits_of(dtype), bits_of(given)
        if wide == narrow:
            return T.reinterpret(dtype, self.convert(source, lane))
        plain = f"uint{max(wide, narrow)}"

        def bits(number: int) -> Any:
            value = self.convert(source, number)
            value = value if given == f"uint{narrow}" else T.reinterpret(f"uint{narrow}", value)
            return T.cast(value, plain)

        if wide > narrow:
            parts = [bits(lane * (wide // narrow) + j) for j in range(wide // narrow)]
            whole = parts[0]
            for j, part in enumerate(parts[1:], 1):
                whole = whole | (part << getattr(T, plain)(narrow * j))
            return whole if dtype == plain else T.reinterpret(dtype, whole)
        number, part = divmod(lane, narrow // wide)
        piece = T.cast(T.shift_right(bits(number), getattr(T, plain)(wide * part)), f"uint{wide}")
        return piece if dtype == f"uint{wide}" else T.reinterpret(dtype, piece)

    def _binary(self, expr: Any, lane: int) -> Any:
        kind, dtype = kind_of(expr), dtype_of(expr)
        a, b = self.convert(expr.a, lane), self.convert(expr.b, lane)
        if kind in ("Max", "Min") and dtype in _LETTER:  # as LLVM compares: the second where either is NaN
            return T.Select(a > b if kind == "Max" else a < b, a, b)
        if dtype in _LETTER:
            if kind not in _ROUNDED:
                raise UnsupportedOperation(f"{kind} of {dtype} has no meaning on a GPU that is the same on a CPU")
            return T.call_pure_extern(dtype, f"__{_LETTER[dtype]}{_ROUNDED[kind]}_rn", a, b)
        if kind in _WRAPPING and dtype != "bool" and bits_of(dtype) < 32:
            wide = [T.cast(value, "int32") for value in (a, b)]
            return T.cast(_OPERATORS[kind](*wide), dtype)
        return _OPERATORS[kind](a, b)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": T.truncdiv,
    "Mod": T.truncmod,
    "Max": T.max,
    "Min": T.min,
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
    "And": tirx.And,
    "Or": tirx.Or,
    "BitwiseAnd": lambda a, b: a & b,
    "BitwiseOr": lambda a, b: a | b,
    "BitwiseXor": lambda a, b: a ^ b,
    "LShift": T.shift_left,
    "RShift": T.shift_right,
}
