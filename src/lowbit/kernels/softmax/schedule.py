"""SoftmaxSpec -> TensorIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.errors import UnsupportedOperation
from lowbit.graph.logarithm import FRACTION_BITS, logarithms
from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.elementwise.transcendental import exp, log
from lowbit.kernels.rows import row_position
from lowbit.kernels.softmax.logarithm import fixed_logarithm
from lowbit.kernels.softmax.spec import SoftmaxSpec
from lowbit.kernels.vectors import LANES, convert, fence, first_lanes, integer_result, load, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_LOWEST = {"uint8": 0, "int16": -32768, "float32": -3.4028234663852886e38}
_TABLE = {"uint8": 256, "int16": 65536}


def build(spec: SoftmaxSpec, target: Target) -> Any:
    """One row a unit, pixel by pixel: maximum, exponentials and their sum, quotients or logarithms.  A float quotient
    is first the exponential, so that it is computed once.  Raises UnsupportedOperation for an
    integer result of a float source."""
    src, dst = spec.src, spec.dst
    dtype, element = TIR_DTYPE[src.dtype], TIR_DTYPE[dst.dtype]
    if dtype == "float32" and element != "float32":
        raise UnsupportedOperation(f"no softmax kernel from f32 to {dst.dtype}; f32 gives f32, u8 and i16 give u8, i16 or f32")
    pointers = {"x": (dtype, src.elements), "s": ("float32", 4 + spec.log), "o": (element, dst.elements)}
    if dtype != "float32":
        pointers["w"] = ("int32", _TABLE[dtype])
        if spec.log:
            pointers["t"] = ("int32", len(logarithms()) + 1)

    with kernel_function(spec.symbol(target.name), **pointers) as k:
        zero = TB.Bind(T.cast(k.s[3], "int32")) if element != "float32" and not spec.sign else None
        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, src)
            with TB.serial(dst.w) as x:
                at_x, at_o = TB.Bind(src.offset(image, y, x, 0)), TB.Bind(dst.offset(image, y, x, 0))
                top = _maximum(k.x, at_x, src.c, dtype)
                if dtype == "float32":
                    total = _float_exponentials(k, at_x, at_o, src.c, top)
                    if spec.log:
                        _subtract(k, at_x, at_o, src.c, top, total)
                    else:
                        _divide(k, at_o, dst.c, total)
                elif spec.log:
                    behind = _logarithm(k, _integer_exponentials(k, at_x, at_o, src.c, top, keep=False))
                    with TB.serial(dst.c) as c:
                        distance = T.cast(T.cast(top, "int32") - T.cast(k.x[at_x + c], "int32"), "float32")
                        f = T.float32(0) - (fence(distance * k.s[4], 1) + behind)
                        if element == "float32":
                            store(k.o, at_o + c, f, 1)
                        else:
                            f = f if spec.sign else f * k.s[0]
                            store(k.o, at_o + c, integer_result(f, k.s[1], k.s[2], zero, element, spec.sign, 1), 1)
                elif element == "float32":
                    _divide(k, at_o, dst.c, _integer_exponentials(k, at_x, at_o, src.c, top, keep=True))
                else:
                    total = _integer_exponentials(k, at_x, at_o, src.c, top, keep=False)
                    with TB.serial(dst.c) as c:
                        probability = T.cast(_entry(k, at_x + c, top), "float32") / total
                        f = probability if spec.sign else probability * k.s[0]
                        store(k.o, at_o + c, integer_result(f, k.s[1], k.s[2], zero, element, spec.sign, 1), 1)
                if dst.stride > dst.c:
                    with TB.serial(dst.stride - dst.c) as c:
                        store(k.o, at_o + dst.c + c, splat(0, element, 1), 1)
    return k.func


def _maximum(buffer: Any, at: Any, count: int, dtype: str) -> Any:
    """Largest of ``count`` elements; a last vector that overlaps its neighbour changes nothing."""
    lanes = LANES if count >= LANES else 1
    best = TB.alloc_buffer((lanes,), dtype, scope="global")
    store(best, 0, splat(_LOWEST[dtype], dtype, lanes), lanes)
    with TB.serial(-(-count // lanes)) as i:
        start = T.min(i * lanes, T.int32(count - lanes))
        store(best, 0, T.max(load(best, 0, lanes), load(buffer, at + start, lanes)), lanes)
    return TB.Bind(_fold([best[i] for i in range(lanes)], T.max))


def _fold(values: list[Any], operation: Callable[[Any, Any], Any]) -> Any:
    """Reduce a power of two of values in pairs."""
    while len(values) > 1:
        values = [operation(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def _entry(k: KernelFrame, at: Any, top: Any) -> Any:
    return k.w[T.cast(top, "int32") - T.cast(k.x[at], "int32")]


def _integer_exponentials(k: KernelFrame, at_x: Any, at_o: Any, count: int, top: Any, keep: bool) -> Any:
    """f32(sum of e), e = w[top - stored]; the table is made so that the sum stays below 2^31.
    ``keep``: store f32(e) in o."""
    total = TB.alloc_buffer((1,), "int32", scope="global")
    store(total, 0, T.int32(0), 1)
    with TB.serial(count) as c:
        e = TB.Bind(_entry(k, at_x + c, top))
        store(total, 0, total[0] + e, 1)
        if keep:
            store(k.o, at_o + c, T.cast(e, "float32"), 1)
    return TB.Bind(T.cast(total[0], "float32"))


def _float_exponentials(k: KernelFrame, at_x: Any, at_o: Any, count: int, top: Any) -> Any:
    """sum of e = exp(x - top), in sixteen partial sums; stores e in o.  The lanes past c hold whatever
    follows in memory and become 0."""
    whole, rest = divmod(count, LANES)
    total = TB.alloc_buffer((LANES,), "float32", scope="global")
    store(total, 0, splat(0.0, "float32"))

    def add(start: Any, valid: int) -> None:
        e = exp(load_channels(k.x, at_x + start, valid) - splat(top, "float32"), "float32")
        e = TB.Bind(first_lanes(e, valid, "float32"))
        store(total, 0, load(total, 0) + e)
        store(k.o, at_o + start, e)

    if whole:
        with TB.serial(whole) as i:
            add(i * LANES, LANES)
    if rest:
        add(T.int32(whole * LANES), rest)
    return TB.Bind(_fold([total[i] for i in range(LANES)], lambda a, b: a + b))


def _logarithm(k: KernelFrame, total: Any) -> Any:
    """f32(2^24 ln total - t[last]) 2^-24"""
    return TB.Bind(T.cast(fixed_logarithm(k.t, total), "float32") * T.float32(2.0**-FRACTION_BITS))


def _subtract(k: KernelFrame, at_x: Any, at_o: Any, count: int, top: Any, total: Any) -> None:
    """o = (x - top) - log total over the channels of a pixel."""
    behind = TB.alloc_buffer((LANES,), "float32", scope="global")
    store(behind, 0, convert(log(splat(T.cast(total, "float64"), "float64")), "float32"))
    whole, rest = divmod(count, LANES)

    def subtract(start: Any, valid: int) -> None:
        store(k.o, at_o + start, load_channels(k.x, at_x + start, valid) - splat(top, "float32") - load(behind, 0))

    if whole:
        with TB.serial(whole) as i:
            subtract(i * LANES, LANES)
    if rest:
        subtract(T.int32(whole * LANES), rest)


def _divide(k: KernelFrame, at: Any, count: int, total: Any) -> None:
    """o /= total over the channels of a pixel, in whole vectors: the rest of the last one is zeroed next."""
    with TB.serial(-(-count // LANES)) as i:
        store(k.o, at + i * LANES, load(k.o, at + i * LANES) / splat(total, "float32"))
