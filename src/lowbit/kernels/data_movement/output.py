"""OutputSpec -> TensorIR: an activation into the user's dense float32 tensor, positions into one of int64."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.data_movement.spec import OutputSpec
from lowbit.kernels.data_movement.transpose import transposed
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.rows import row_position, spans
from lowbit.kernels.vectors import LANES, convert, load, operand, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: OutputSpec, target: Target) -> Any:
    """One row a unit.  Vectors along the channels where the user's tensor has them contiguous, transposed
    squares where it has the pixels contiguous (NCHW), else element by element."""
    src = spec.src
    sn, sh, sw, sc = spec.strides
    extent = 1 + (src.n - 1) * sn + (src.h - 1) * sh + (src.w - 1) * sw + (src.c - 1) * sc
    dtype = TIR_DTYPE[src.dtype]
    side = 16 // ELEMENT_BYTES[src.dtype]  # of a square whose rows are 16-byte vectors
    given = "int64" if dtype == "int32" else "float32"
    pointers = {"x": (dtype, src.elements), "s": ("float32", 3), "o": (given, extent)}

    with kernel_function(spec.symbol(target.name), **pointers) as k:

        def real(value: Any, lanes: int) -> Any:
            if dtype == "float32":
                return value
            if dtype == "int32":
                return convert(value, given, lanes)
            return operand(value, k.s[0], k.s[1], lanes) * splat(k.s[2], "float32", lanes)

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, src)
            at_x, at_o = src.offset(image, y, 0, 0), image * sn + y * sh
            if sc == 1:
                with TB.serial(src.w) as x:
                    for c, lanes in spans(src.c, LANES):
                        value = load(k.x, at_x + x * src.stride + c, lanes)
                        store(k.o, at_o + x * sw + c, real(value, lanes), lanes)
            elif sw == 1 and src.c >= side and src.w >= side:
                for c, _ in spans(src.c, side):
                    for x, _ in spans(src.w, side):
                        pixels = [TB.Bind(load(k.x, at_x + (x + j) * src.stride + c, side)) for j in range(side)]
                        for i, values in enumerate(transposed(pixels)):
                            store(k.o, at_o + x + (c + i) * sc, real(values, side), side)
            else:
                with TB.serial(src.c) as c, TB.serial(src.w) as x:
                    value = load(k.x, at_x + x * src.stride + c, 1)
                    store(k.o, at_o + x * sw + c * sc, real(value, 1), 1)
    return k.func
