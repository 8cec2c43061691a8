"""ResponseNormSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.graph.powers import factors_of_power
from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.response_norm.spec import ResponseNormSpec
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import LANES, convert, first_lanes, integer_result, load, operand, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_F64 = "float64"


def build(spec: ResponseNormSpec, target: Target) -> Any:
    """One pixel a unit: its squares between zeros in scratch memory, then window sums, sixteen channels at a time."""
    src, dst = spec.src, spec.dst
    dtype, element = TIR_DTYPE[src.dtype], TIR_DTYPE[dst.dtype]
    integers = dtype != "float32"
    before = spec.size // 2
    pointers = {
        "x": (dtype, src.elements), "r": (_F64, 2), "s": ("float32", 6), "o": (element, dst.elements), "m": (_F64, spec.pitch),
    }  # fmt: skip
    whole_chunks, rest = divmod(src.c, LANES)
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        zero = TB.Bind(T.cast(k.s[4], "int32")) if integers else None
        with TB.serial(k.lo, k.hi) as pixel:
            row, x = divided(pixel, dst.w)
            image, y = divided(row, dst.h)
            at_x, at_o = TB.Bind(src.offset(image, y, x, 0)), TB.Bind(dst.offset(image, y, x, 0))

            def value(c0: Any, at: Any = at_x) -> Any:
                stored = load(k.x, at + c0)
                return operand(stored, k.s[0], k.s[1]) if integers else stored

            with TB.serial(spec.pitch // LANES) as i:
                store(k.m, i * LANES, splat(0.0, _F64))
            if whole_chunks:
                with TB.serial(whole_chunks) as i:
                    wide = TB.Bind(convert(value(i * LANES), _F64))
                    store(k.m, before + i * LANES, wide * wide)
            if rest:
                wide = TB.Bind(convert(value(T.int32(whole_chunks * LANES)), _F64))
                store(k.m, before + whole_chunks * LANES, first_lanes(wide * wide, rest, _F64))
            with TB.serial(-(-dst.c // LANES)) as i:
                c0 = i * LANES
                total = TB.alloc_buffer((LANES,), _F64, scope="global")
                store(total, 0, load(k.m, c0))
                with TB.serial(spec.size - 1) as place:
                    store(total, 0, load(total, 0) + load(k.m, c0 + 1 + place))
                scaled = T.call_llvm_pure_intrin("float64x16", "llvm.arithmetic.fence", load(total, 0) * splat(k.r[1], _F64))
                base = TB.Bind(splat(k.r[0], _F64) + scaled)
                inverse = convert(splat(1.0, _F64) / _power(base, spec.power), "float32")
                f = value(c0) * inverse
                if integers:
                    f = integer_result(f * splat(k.s[5], "float32"), k.s[2], k.s[3], zero, element, spec.sign)
                store(k.o, at_o + c0, f)
    return k.func


def _power(base: Any, power: int) -> Any:
    whole, halves = factors_of_power(power)
    result, root = splat(1.0, _F64), base
    for _ in range(whole):
        result = TB.Bind(result * base)
    for taken in halves:
        root = TB.Bind(T.call_llvm_pure_intrin("float64x16", "llvm.sqrt", root))
        if taken:
            result = TB.Bind(result * root)
    return result
