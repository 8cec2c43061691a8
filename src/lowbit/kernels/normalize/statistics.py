"""StatisticsSpec -> TensorIR."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.normalize.spec import StatisticsSpec
from lowbit.kernels.normalize.steps import worked_out
from lowbit.kernels.vectors import LANES, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]


def build(spec: StatisticsSpec, target: Target) -> Any:
    """One image a unit: rows added up channel by channel, channels group by group."""
    src, dst = spec.src, spec.dst
    each = src.c // spec.groups
    pointers = {
        "x": ("float64", src.elements), "r": ("float64", 2), "w": ("float32", dst.stride), "o": ("float32", dst.elements),
        "m": ("float64", 2 * src.stride),
    }  # fmt: skip
    with kernel_function(spec.symbol(target.name), **pointers) as k, TB.serial(k.lo, k.hi) as image:
        with TB.serial(2 * src.stride // LANES) as i:
            store(k.m, i * LANES, splat(0.0, "float64"))
        with TB.serial(src.h) as y, TB.serial(2 * src.stride // LANES) as i:
            store(k.m, i * LANES, load(k.m, i * LANES) + load(k.x, src.offset(image, y, 0, i * LANES)))
        with TB.serial(spec.groups) as group:
            total = TB.alloc_buffer((2,), "float64", scope="global")
            for moment in range(2):
                store(total, moment, T.float64(0.0), 1)
            with TB.serial(each) as c:
                for moment in range(2):
                    store(total, moment, total[moment] + k.m[moment * src.stride + group * each + c], 1)
            found = worked_out(
                TB.Bind(total[0]), TB.Bind(total[1]), each * spec.area, k.r,
                exact=spec.exact, centred=spec.centred, mean=spec.mean,
            )  # fmt: skip
            with TB.serial(each) as c:
                channel = group * each + c
                for place, value in enumerate(found):
                    value = value * k.w[channel] if place == 2 else value
                    store(k.o, dst.offset(image, 0, place, channel), value, 1)
        if dst.stride > dst.c:
            with TB.serial(dst.stride - dst.c) as c:
                for place in range(3):
                    store(k.o, dst.offset(image, 0, place, dst.c + c), T.float32(0.0), 1)
    return k.func
