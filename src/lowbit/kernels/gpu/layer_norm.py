"""LayerNormSpec of integers for GPUs: a warp for each pixel.  Sums of values and of squares are integers, exact in any order.

Floats are computed as on CPUs, a thread a pixel (spread.py)."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE
from lowbit.kernels.gpu.function import gpu_kernel
from lowbit.kernels.gpu.warp import each_element, one_row, reduced, rows_of
from lowbit.kernels.gpu.words import added, multiplied, stored_result, subtracted
from lowbit.kernels.normalize import layer_norm
from lowbit.kernels.normalize.spec import LayerNormSpec
from lowbit.kernels.rows import divided
from lowbit.targets import Target

__all__ = ["build"]

_INTEGERS = ("u8", "i16")


def build(spec: LayerNormSpec, target: Target) -> Any:
    src, dst = spec.src, spec.dst
    if src.dtype not in _INTEGERS or dst.dtype not in _INTEGERS:
        return layer_norm.build(spec, target)
    pointers = {
        "x": (TIR_DTYPE[src.dtype], src.elements),
        "r": ("float64", 2),
        "w": ("float32", dst.stride),
        "b": ("float32", dst.stride),
        "s": ("float32", 5),
        "o": (TIR_DTYPE[dst.dtype], dst.elements),
    }
    with gpu_kernel(spec.symbol(target.name), rows_of(dst.pixels), **pointers) as k, one_row(k, dst.pixels) as (pixel, lane):
        row, x = divided(pixel, dst.w)
        image, y = divided(row, dst.h)
        at_x, at_o = TB.Bind(src.offset(image, y, x, 0)), TB.Bind(dst.offset(image, y, x, 0))
        step, shift = (TB.Bind(T.cast(k.s[i], "int32")) for i in range(2))

        def value_of(c: Any) -> Any:
            return T.cast(k.x[at_x + c], "int32") * step + shift

        sums = TB.alloc_buffer((2,), "int64", scope="local")
        for i in range(2):
            TB.buffer_store(sums, T.int64(0), [i])
        with each_element(lane, src.c) as c:
            v = TB.Bind(T.cast(value_of(c), "int64"))
            TB.buffer_store(sums, sums[0] + v, [0])
            TB.buffer_store(sums, sums[1] + v * v, [1])
        s1, s2 = (TB.Bind(T.cast(reduced(sums[i], lambda a, b: a + b), "float64")) for i in range(2))
        whole, part, inverse = _worked_out(s1, s2, src.c, k.r, spec.centred, spec.mean)
        zero = TB.Bind(T.cast(k.s[4], "int32"))
        with each_element(lane, dst.c) as c:
            moved = subtracted(subtracted(T.cast(value_of(c), "float32"), whole), part)
            f = TB.Bind(added(multiplied(moved, multiplied(inverse, k.w[c])), k.b[c]))
            TB.buffer_store(k.o, stored_result(f, k.s[2], k.s[3], zero, TIR_DTYPE[dst.dtype], spec.sign), [at_o + c])
    return k.func


def _double(name: str, *operands: Any) -> Any:
    return T.call_pure_extern("float64", f"__d{name}_rn", *operands)


def _worked_out(s1: Any, s2: Any, count: int, constants: Any, centred: bool, mean: bool) -> tuple[Any, Any, Any]:
    """(whole, part, inv) of LayerNormSpec, float32, each step as in kernels/normalize/steps.py."""
    n, none = T.float64(float(count)), T.float64(0.0)
    whole, rest, variance = none, none, s2
    if centred:
        whole = TB.Bind(T.call_pure_extern("float64", "floor", _double("div", s1, n)))
        rest = TB.Bind(_double("sub", s1, _double("mul", n, whole)))
        q = _double("sub", s2, _double("mul", _double("mul", whole, s1), T.float64(2.0)))
        q = _double("add", q, _double("mul", _double("mul", n, whole), whole))
        variance = TB.Bind(_double("sub", q, _double("div", _double("mul", rest, rest), n)))
    spread = _double("div", variance, n) if mean else variance
    root = TB.Bind(_double("sqrt", _double("add", spread, constants[0])))
    floor = TB.Bind(constants[1])
    inverse = TB.Bind(T.cast(_double("div", T.float64(1.0), T.Select(root < floor, floor, root)), "float32"))
    inverse = TB.Bind(T.Select(variance > none, inverse, T.float32(0.0)))
    part = TB.Bind(T.cast(_double("div", rest, n), "float32"))
    return TB.Bind(T.cast(whole, "float32")), part, inverse
