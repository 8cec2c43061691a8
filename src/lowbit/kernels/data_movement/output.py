"""OutputSpec -> TensorIR: an activation into the user's dense float32 tensor."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.rows import row_position, spans
from lowbit.kernels.spec import OutputSpec
from lowbit.kernels.vectors import LANES, load, operand, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: OutputSpec, target: Target) -> Any:
    """One row a unit.  Vectors along the channels where the user's tensor has them contiguous; else one
    channel of the row after the other, so that the stores are contiguous in the NCHW case."""
    src = spec.src
    sn, sh, sw, sc = spec.strides
    extent = 1 + (src.n - 1) * sn + (src.h - 1) * sh + (src.w - 1) * sw + (src.c - 1) * sc
    dtype = TIR_DTYPE[src.dtype]
    pointers = {"x": (dtype, src.elements), "s": ("float32", 3), "o": ("float32", extent)}

    with kernel_function(spec.symbol(target.name), **pointers) as k:

        def real(value: Any, lanes: int) -> Any:
            if dtype == "float32":
                return value
            return operand(value, k.s[0], k.s[1], lanes) * splat(k.s[2], "float32", lanes)

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, src)
            at_x, at_o = src.offset(image, y, 0, 0), image * sn + y * sh
            if sc == 1:
                with TB.serial(src.w) as x:
                    for c, lanes in spans(src.c, LANES):
                        value = load(k.x, at_x + x * src.stride + c, lanes)
                        store(k.o, at_o + x * sw + c, real(value, lanes), lanes)
            else:
                with TB.serial(src.c) as c, TB.serial(src.w) as x:
                    value = load(k.x, at_x + x * src.stride + c, 1)
                    store(k.o, at_o + x * sw + c * sc, real(value, 1), 1)
    return k.func
