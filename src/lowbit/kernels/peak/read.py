"""Reading memory and nothing else."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import kernel_function
from lowbit.kernels.vectors import LANES, load, splat, store

__all__ = ["BLOCK_BYTES", "read_loop"]

_VECTORS = 8
BLOCK_BYTES = 4 * LANES * _VECTORS


def read_loop(symbol: str) -> Any:
    """PrimFunc of the kernel signature: reads the first t[0] blocks of BLOCK_BYTES of x, ``hi - lo`` times over."""
    width = LANES * _VECTORS
    with kernel_function(symbol, x=("int32", 1 << 30), o=("int32", width)) as kernel:
        sums = [TB.alloc_buffer((LANES,), "int32", scope="global") for _ in range(_VECTORS)]
        for total in sums:
            store(total, 0, splat(0, "int32"))
        with TB.serial(kernel.lo, kernel.hi), TB.serial(T.int32(0), kernel.t[0]) as block:
            for j, total in enumerate(sums):
                store(total, 0, load(total, 0) + load(kernel.x, block * width + j * LANES))
        for j, total in enumerate(sums):
            store(kernel.o, j * LANES, load(total, 0))
    return kernel.func
