"""The register tile of a convolution, repeated over the same few kilobytes: the peak of its instruction sequence."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
from lowbit.kernels.conv2d.forms import find_form
from lowbit.kernels.conv2d.runs import Runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.conv2d.tile import Tile
from lowbit.kernels.vectors import LANES, splat, store
from lowbit.targets import Target

__all__ = ["STEPS", "multiply_loop"]

STEPS = 64  # of one repetition; their inputs and weights stay in the level-1 cache
_SHIFTS = 8  # repetitions that start at different inputs: none can be computed once for all


def multiply_loop(spec: ConvSpec, target: Target, symbol: str) -> Any:
    """PrimFunc of the kernel signature (kernels/abi.py): ``hi - lo`` repetitions of STEPS steps of ``spec``'s tile.

    Of ``spec`` only form, depth, parts, wide, mr, nr and the dtype of src matter.  x and w are read from their
    start on (64 KiB each are enough); the accumulators, whose values mean nothing, end in o.
    """
    arithmetic = find_form(spec.form).inner_step(spec, target)
    dtype, elements = arithmetic.weight
    row = spec.parts * arithmetic.rows * (spec.nr // arithmetic.lanes) * elements
    result = "float32" if arithmetic.floats else "float64" if spec.wide else "int32"
    per_step = spec.k_group // 8 if spec.src.dtype == "bits" else spec.k_group
    pitch = (STEPS + _SHIFTS) * per_step
    pointers = {
        "x": (TIR_DTYPE[spec.src.dtype], spec.mr * pitch + 64),
        "w": (dtype, STEPS * row),
        "t": ("uint8", arithmetic.bytes.table_bytes) if arithmetic.bytes else ("int32", 1),
        "o": (result, spec.mr * max(spec.nr, LANES)),
    }
    with kernel_function(symbol, **pointers) as kernel:
        tile = _Endless(kernel, spec, arithmetic, pitch, per_step)
        tile.repeat()
        width = min(LANES, spec.nr)
        for i in range(spec.mr):
            for channel, value in tile.results(i):
                store(kernel.o, i * spec.nr + channel, value, width)
    return kernel.func


class _Endless(Tile):
    """A tile whose K loop starts again and again, without leaving the registers."""

    def __init__(self, kernel: KernelFrame, spec: ConvSpec, ops: Arithmetic, pitch: int, per_step: int) -> None:
        length = STEPS * spec.k_group
        super().__init__(kernel, spec, ops, Runs(1, 1, length, length), spec.nr // ops.lanes, spec.mr)
        self.pitch, self.per_step = pitch, per_step

    def repeat(self) -> None:
        for buffer in self.sums.values():
            store(buffer, 0, splat(0.0 if self.spec.wide else 0, self.sum, self.sum_lanes), self.sum_lanes)
        if not self.blocked:
            self._clear()
        if self.blocked and self.spec.depth == 0:
            with self.block():
                self._repetitions()
        else:
            self._repetitions()

    def _repetitions(self) -> None:
        with TB.serial(self.kernel.lo, self.kernel.hi) as repetition:
            start = TB.Bind(T.bitwise_and(repetition, T.int32(_SHIFTS - 1)) * self.per_step)
            self.walk([start + i * self.pitch for i in range(self.spec.mr)], 0, 0)
