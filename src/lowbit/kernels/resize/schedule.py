"""ResizeSpec -> TensorIR: first the rows into scratch memory, then the columns, vectorised over channels."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.resize.spec import ResizeSpec
from lowbit.kernels.rows import row_position
from lowbit.kernels.vectors import LANES, convert, integer_result, load, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: ResizeSpec, target: Target) -> Any:
    """One output row a unit.  The sum over its rows is made once for every column of the source, which an enlarged picture
    has fewer of than the result."""
    src, dst, (down, across) = spec.src, spec.dst, spec.taps
    given, result = TIR_DTYPE[src.dtype], TIR_DTYPE[dst.dtype]
    real = given == "float32"
    middle = "float32" if real else "int32"
    total = "float64" if spec.wide else middle
    chunks, rest = spec.lanes // LANES, src.stride % LANES
    pointers = {
        "x": (given, src.elements),
        "w": (middle, dst.h * down + dst.w * across),
        "s": ("float32", 6),
        "t": ("int32", dst.h + dst.w),
        "o": (result, dst.elements),
        "m": (middle, src.w * spec.lanes),
    }
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        step, shift = (None if real else TB.Bind(T.cast(k.s[i], total)) for i in range(2))
        lo, hi, multiplier = (None if real else TB.Bind(k.s[i]) for i in (2, 3, 5))
        zero = None if real else TB.Bind(T.cast(k.s[4], "int32"))

        def finished(acc: Any) -> Any:
            if real:
                return acc
            f = convert(acc * splat(step, total) + splat(shift, total), "float32") * splat(multiplier, "float32")
            return integer_result(f, lo, hi, zero, result, spec.sign)

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            first = TB.Bind(k.t[y])
            weights = [TB.Bind(k.w[y * down + i]) for i in range(down)]
            with TB.serial(src.w) as x:
                for c0, valid in _chunks(chunks, rest):
                    acc = None
                    for i, weight in enumerate(weights):
                        value = convert(load_channels(k.x, src.offset(image, first + i, x, c0), valid), middle)
                        term = value * splat(weight, middle)
                        acc = term if acc is None else acc + term
                    store(k.m, x * spec.lanes + c0, acc)
            with TB.serial(dst.w) as x:
                start = TB.Bind(k.t[dst.h + x])
                factors = [TB.Bind(T.cast(k.w[dst.h * down + x * across + i], total)) for i in range(across)]
                with TB.serial(chunks) as chunk:
                    acc = None
                    for i, factor in enumerate(factors):
                        value = convert(load(k.m, (start + i) * spec.lanes + chunk * LANES), total)
                        term = value * splat(factor, total)
                        acc = term if acc is None else acc + term
                    store(k.o, dst.offset(image, y, x, chunk * LANES), finished(acc))
                if dst.stride > spec.lanes:
                    with TB.serial(dst.stride // LANES - chunks) as chunk:
                        store(k.o, dst.offset(image, y, x, spec.lanes + chunk * LANES), splat(0, result))
    return k.func


def _chunks(chunks: int, rest: int) -> Any:
    """(first channel, how many of the sixteen there are): a picture of a few channels has no sixteen."""
    if not rest:
        with TB.serial(chunks) as chunk:
            yield chunk * LANES, LANES
        return
    for chunk in range(chunks):
        yield chunk * LANES, LANES if chunk < chunks - 1 else rest
