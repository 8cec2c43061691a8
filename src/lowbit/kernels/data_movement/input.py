"""InputSpec -> TensorIR: the user's float32 tensor into an activation, quantized on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.data_movement.spec import InputSpec
from lowbit.kernels.data_movement.transpose import interleaved
from lowbit.kernels.rows import row_position, spans
from lowbit.kernels.vectors import LANES, integer_result, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: InputSpec, target: Target) -> Any:
    """One row a unit, in the widest form the two memory orders allow:

    - rows contiguous on both sides, or channels contiguous in the user's tensor: vectors along memory;
    - pixels contiguous (NCHW): vectors along x, sixteen pixels of one channel at a time, which are then
      interleaved with the other channels;
    - anything else: element by element.
    """
    dst = spec.dst
    sn, sh, sw, sc = spec.strides
    extent = 1 + (dst.n - 1) * sn + (dst.h - 1) * sh + (dst.w - 1) * sw + (dst.c - 1) * sc
    dtype = TIR_DTYPE[dst.dtype]
    pointers = {"x": ("float32", extent), "s": ("float32", 4), "o": (dtype, dst.elements)}

    with kernel_function(spec.symbol(target.name), **pointers) as k:
        integer = dtype != "float32"
        zero = TB.Bind(T.cast(k.s[3], "int32")) if integer and not spec.sign else None

        def stored(x: Any, lanes: int) -> Any:
            if not integer:
                return x
            if spec.sign:
                return integer_result(x, 0, 0, 0, dtype, True, lanes)
            return integer_result(x / splat(k.s[0], "float32", lanes), k.s[1], k.s[2], zero, dtype, False, lanes)

        blank = TB.Bind(stored(T.float32(0), 1))  # what the channels past c hold

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            at_x, at_o = image * sn + y * sh, dst.offset(image, y, 0, 0)
            flat = dst.stride == dst.c and sc == 1 and (sw == dst.c or dst.w == 1)
            if flat:
                for i, lanes in spans(dst.w * dst.c, LANES):
                    store(k.o, at_o + i, stored(load(k.x, at_x + i, lanes), lanes), lanes)
            elif sw == 1 and dst.w >= LANES and dst.stride <= 4:
                for x, _ in spans(dst.w, LANES):
                    channels = [stored(load(k.x, at_x + x + c * sc), LANES) for c in range(dst.c)]
                    channels += [splat(blank, dtype)] * (dst.stride - dst.c)
                    store(k.o, at_o + x * dst.stride, interleaved(channels, LANES), LANES * dst.stride)
            else:
                _pixels(spec, k, at_x, at_o, stored, blank)
    return k.func


def _pixels(spec: InputSpec, k: Any, at_x: Any, at_o: Any, stored: Callable[[Any, int], Any], blank: Any) -> None:
    """Pixel by pixel: contiguous channels in vectors, others one at a time."""
    dst, (_, _, sw, sc) = spec.dst, spec.strides
    with TB.serial(dst.w) as x:
        here, there = at_x + x * sw, at_o + x * dst.stride
        for c, lanes in spans(dst.c, LANES if sc == 1 else dst.c + 1):
            store(k.o, there + c, stored(load(k.x, here + c * sc, lanes), lanes), lanes)
        if dst.stride > dst.c:
            with TB.serial(dst.stride - dst.c) as c:
                store(k.o, there + dst.c + c, blank, 1)
