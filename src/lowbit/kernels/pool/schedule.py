"""PoolSpec -> TensorIR: maximum, minimum, mean and length over explicit windows, vectorised over channels."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.kernels.rows import row_position
from lowbit.kernels.vectors import LANES, convert, integer_result, larger, load, load_channels, operand, smaller, splat, store
from lowbit.targets import Target

__all__ = ["build"]


_EXTREMES = {"max": larger, "min": smaller}


def _group(chunks: int, dtype: str) -> int:
    """Vectors of 16 channels that share one walk over a window: their accumulators fill registers,
    and the bounds of the window are read once for all of them."""
    widest = {"uint8": 4, "float64": 2}.get(dtype, 8)
    return max(g for g in range(1, widest + 1) if chunks % g == 0)


def build(spec: PoolSpec, target: Target) -> Any:
    """One output row a unit; accumulators of a group of channels stay in registers over the window."""
    src, dst = spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    extreme, norm = _EXTREMES.get(spec.fn), spec.fn == "norm"
    total = "float64" if spec.wide or norm else dtype if extreme or dtype == "float32" else "int32"
    header = 0 if dtype == "float32" else 5
    chunks, filled = divmod(min(src.stride, dst.stride), LANES)
    chunks += 1 if filled else 0
    valid = filled if filled and chunks == 1 else LANES  # of a source narrower than one vector
    group = _group(chunks, total)

    pointers = {
        "x": (dtype, src.elements),
        "s": ("float32", header + (1 if norm else dst.h * dst.w)),
        "t": ("int32", 2 * (dst.h + dst.w)),
        "o": (TIR_DTYPE[dst.dtype], dst.elements),
    }
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        zero = TB.Bind(T.cast(k.s[4], "int32")) if not extreme and header else None
        step = TB.Bind(T.cast(k.s[0], total)) if not extreme and not norm and header else None
        shift = TB.Bind(T.cast(k.s[1], total)) if not extreme and not norm and header else None

        def result(acc: Any, count: Any, position: Any) -> Any:
            if extreme:
                return acc
            if norm:
                root = convert(T.call_llvm_pure_intrin("float64x16", "llvm.sqrt", acc), "float32")
                f = root * splat(k.s[header], "float32") if header else root
                return integer_result(f, k.s[2], k.s[3], zero, TIR_DTYPE[dst.dtype], spec.sign) if header else f
            multiplier = splat(k.s[header + position], "float32")
            if not header:
                return convert(acc, "float32") * multiplier
            exact = acc * splat(step, total) + splat(shift * T.cast(count, total), total)
            f = convert(exact, "float32") * multiplier
            return integer_result(f, k.s[2], k.s[3], zero, TIR_DTYPE[dst.dtype], spec.sign)

        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            y0, y1 = TB.Bind(k.t[y]), TB.Bind(k.t[dst.h + y])
            with TB.serial(dst.w) as x:
                x0, x1 = TB.Bind(k.t[2 * dst.h + x]), TB.Bind(k.t[2 * dst.h + dst.w + x])
                with TB.serial(chunks // group) as block:
                    c0 = block * (group * LANES)
                    acc = TB.alloc_buffer((group * LANES,), total, scope="global")

                    def pixel(yy: Any, xx: Any, g: int, c0: Any = c0) -> Any:
                        return load_channels(k.x, src.offset(image, yy, xx, c0 + g * LANES), valid)

                    def joined(old: Any, value: Any) -> Any:
                        if extreme:
                            return extreme(old, value, dtype)
                        if norm:
                            real = convert(operand(value, k.s[0], k.s[1]) if header else value, total)
                            return old + real * real  # integers: exact with and without a fused multiply-add
                        return old + convert(value, total)

                    for g in range(group):  # a maximum starts from the first pixel: windows are never empty
                        store(acc, g * LANES, pixel(y0, x0, g) if extreme else splat(0, total))
                    with TB.serial(y0, y1) as yy, TB.serial(x0, x1) as xx:
                        for g in range(group):
                            value, old = pixel(yy, xx, g), load(acc, g * LANES)
                            store(acc, g * LANES, joined(old, value))
                    for g in range(group):
                        value = result(load(acc, g * LANES), (y1 - y0) * (x1 - x0), y * dst.w + x)
                        store(k.o, dst.offset(image, y, x, c0 + g * LANES), value)
                if dst.stride // LANES > chunks:
                    with TB.serial(dst.stride // LANES - chunks) as block:
                        store(k.o, dst.offset(image, y, x, (block + chunks) * LANES), splat(0, TIR_DTYPE[dst.dtype]))
    return k.func
