"""BinarySpec -> TensorIR: add, sub, maximum, minimum, mul, affine, rescale."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.elementwise.spec import BinarySpec
from lowbit.kernels.rows import channel_chunks, row_position
from lowbit.kernels.vectors import (
    LANES,
    between,
    fence,
    integer_result,
    larger,
    load,
    load_channels,
    operand,
    smaller,
    splat,
    store,
)
from lowbit.targets import Target

__all__ = ["build"]


_EXTREMES = {"maximum": larger, "minimum": smaller}


def _float(spec: BinarySpec, s: Any, x: Any, r: Any, m: Any, a: Any) -> Any:
    if spec.fn == "add":
        f = x + r
    elif spec.fn == "sub":
        f = x - r
    elif spec.fn == "mul":
        f = x * r
    elif spec.fn in _EXTREMES:
        f = _EXTREMES[spec.fn](x, r, "float32")
    elif spec.fn == "affine":
        f = fence(x * m) + a
    else:
        f = x
    return between(f, splat(s[0], "float32"), splat(s[1], "float32"))


def _integer(spec: BinarySpec, s: Any, x: Any, r: Any, m: Any, a: Any) -> Any:
    vx = operand(x, s[0], s[1])
    if spec.fn in ("add", "sub"):  # of sub, r_mult carries the minus
        vr = operand(r, s[3], s[4])
        return fence(vx * splat(s[2], "float32")) + fence(vr * splat(s[5], "float32"))
    if spec.fn in _EXTREMES:
        vr = operand(r, s[3], s[4])
        return _EXTREMES[spec.fn](vx * splat(s[2], "float32"), vr * splat(s[5], "float32"), "float32")
    if spec.fn == "mul":  # the float product of two exact integers rounds as f32(int product) does
        return vx * operand(r, s[3], s[4]) * splat(s[2], "float32")
    if spec.fn == "affine":
        return fence(vx * m) + a
    return vx * splat(s[2], "float32")


def build(spec: BinarySpec, target: Target) -> Any:
    """One row a unit.  Where all operands have the same channel stride a row is one contiguous run."""
    src, other, dst = spec.src, spec.other, spec.dst
    floats = dst.dtype == "f32"
    pointers = {"x": (TIR_DTYPE[src.dtype], src.elements), "o": (TIR_DTYPE[dst.dtype], dst.elements), "s": ("float32", 9)}
    if other is not None:
        pointers["r"] = (TIR_DTYPE[other.dtype], other.elements)
    if spec.fn == "affine":
        pointers |= {"w": ("float32", dst.stride), "b": ("float32", dst.stride)}
    per_pixel = other if spec.broadcast == "none" else None
    flat = spec.fn != "affine" and (other is None or per_pixel is not None)
    flat = flat and all(layout.stride == dst.stride for layout in (src, per_pixel) if layout is not None)
    readable = min(layout.stride for layout in (src, other) if layout is not None) if other else src.stride

    with kernel_function(spec.symbol(target.name), **pointers) as k:
        zero = TB.Bind(T.cast(k.s[8], "int32")) if not floats else None

        def emit(at_x: Any, at_r: Any, at_o: Any, c0: Any, valid: int) -> None:
            dtype = TIR_DTYPE[dst.dtype]
            if valid == 0:
                store(k.o, at_o, splat(0, dtype))
                return
            x = load_channels(k.x, at_x, valid)
            r = load_channels(k.r, at_r, valid) if other is not None else None
            m, a = (load(k.w, c0), load(k.b, c0)) if spec.fn == "affine" else (None, None)
            if floats:
                store(k.o, at_o, _float(spec, k.s, x, r, m, a))
            else:
                store(k.o, at_o, integer_result(_integer(spec, k.s, x, r, m, a), k.s[6], k.s[7], zero, dtype, spec.sign))

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            if flat:
                with TB.serial(dst.w * dst.stride // LANES) as i:
                    at_r = other.offset(image, y, 0, i * LANES) if other is not None else 0
                    emit(src.offset(image, y, 0, i * LANES), at_r, dst.offset(image, y, 0, i * LANES), None, LANES)
            else:
                with TB.serial(dst.w) as x:
                    for c0, valid in channel_chunks(readable, dst.stride):
                        if other is None:
                            at_r = 0
                        elif spec.broadcast == "none":
                            at_r = other.offset(image, y, x, c0)
                        else:
                            at_r = other.offset(image if other.n > 1 else 0, 0, 0, c0)
                        emit(src.offset(image, y, x, c0), at_r, dst.offset(image, y, x, c0), c0, valid)
    return k.func
