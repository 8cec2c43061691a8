"""LayerNormSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, kernel_function
from lowbit.kernels.normalize.spec import LayerNormSpec
from lowbit.kernels.normalize.steps import Parameters, folded, normalized, real_values, sums, worked_out
from lowbit.kernels.rows import divided
from lowbit.kernels.vectors import LANES, first_lanes, load, load_channels, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: LayerNormSpec, target: Target) -> Any:
    """One pixel a unit: sums over its channels, then its values, which are in the cache by then."""
    src, dst = spec.src, spec.dst
    dtype = TIR_DTYPE[src.dtype]
    integers = dtype != "float32"
    whole_chunks, rest = divmod(src.c, LANES)
    narrow = dtype == "uint8" and (whole_chunks + 1) * 255 * 255 < 2**31  # what one lane adds up
    pointers = {
        "x": (dtype, src.elements),
        "r": ("float64", 2),
        "w": ("float32", dst.stride),
        "b": ("float32", dst.stride),
        "s": ("float32", 5 if integers else 2),
        "o": (TIR_DTYPE[dst.dtype], dst.elements),
    }
    with kernel_function(spec.symbol(target.name), **pointers) as k:
        p = Parameters(k.s, integers)
        with TB.serial(k.lo, k.hi) as pixel:
            row, x = divided(pixel, dst.w)
            image, y = divided(row, dst.h)
            at_x, at_o = TB.Bind(src.offset(image, y, x, 0)), TB.Bind(dst.offset(image, y, x, 0))
            add, lanes = sums(narrow)
            if whole_chunks:
                with TB.serial(whole_chunks) as i:
                    add(real_values(load(k.x, at_x + i * LANES), k.s, integers))
            if rest:
                value = real_values(load_channels(k.x, at_x + whole_chunks * LANES, rest), k.s, integers)
                add(first_lanes(value, rest, "float32"))
            first, second = lanes()
            whole, part, inverse = worked_out(
                folded(first), folded(second), src.c, k.r, exact=integers, centred=spec.centred, mean=spec.mean
            )
            with TB.serial(-(-dst.c // LANES)) as i:
                c0 = i * LANES
                value = real_values(load(k.x, at_x + c0), k.s, integers)
                factor = splat(inverse, "float32") * load(k.w, c0)
                moved = (splat(whole, "float32"), splat(part, "float32"))
                store(k.o, at_o + c0, normalized(p, value, *moved, factor, load(k.b, c0), TIR_DTYPE[dst.dtype], spec.sign))
    return k.func
