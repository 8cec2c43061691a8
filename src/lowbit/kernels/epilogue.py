"""From accumulators to stored results, while they are in registers (ConvSpec and DepthwiseSpec).

integer   f = fence(f32((acc << shift) + b[n]) * s[n]) + fence((f32(r) * r_step + r_shift) * r_multiplier)
          o = int(clamp(rint(f), lo, hi)) + zero,   or f >= 0 for ``sign``,   or clamp(f, lo, hi) for float dst
          Multipliers s are positive: without r, f >= 0 where the accumulator with its bias is.
float     o = clamp(acc + b[n] + r, lo, hi), NaN where that is NaN

The clamp comes before the conversion: lo and hi are whole numbers, so clamp and rint commute, and the
conversion then never leaves int32.  f32(r) * r_step + r_shift is exact, so its contraction is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tvm import tirx
from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame
from lowbit.kernels.intrinsics.x86 import vpermps
from lowbit.kernels.layout import Layout
from lowbit.kernels.packed_bytes import packed_bytes, packed_together
from lowbit.kernels.vectors import LANES, between, convert, fence, integer_result, load, operand, splat, store

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.spec import ConvSpec
    from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
    from lowbit.kernels.winograd.spec import WinogradSpec
    from lowbit.targets import Target

__all__ = ["LANES", "Epilogue", "epilogue_of", "epilogue_pointers"]

_SCALARS = ("lo", "hi", "zero", "r_step", "r_shift", "r_multiplier")


def epilogue_pointers(
    channels: int, dst: Layout, residual: Layout | None, integer: bool, wide: bool
) -> dict[str, tuple[str, int]]:
    """dtype and extent of b, s, o, r for :func:`lowbit.kernels.abi.kernel_function`.

    ``channels``: N16, the extent of b and of the multipliers."""
    bias = "float32" if not integer else "float64" if wide else "int32"
    pointers = {
        "b": (bias, channels),
        "s": ("float32", channels + len(_SCALARS) if integer else 2),
        "o": (TIR_DTYPE[dst.dtype], dst.elements),
    }
    if residual is not None:
        pointers["r"] = (TIR_DTYPE[residual.dtype], residual.elements)
    return pointers


@dataclass
class Epilogue:
    """Open it at the top of the kernel (it loads the scalars), then write 16 channels at a time, or all of a row.

    ``packs``: the CPU has the instructions of AVX-512BW, with which several vectors become bytes together.
    ``few``: stored residuals are 0 .. 15, what is added for each of them is looked up.  ``bounded``: as in ConvGeometry."""

    kernel: KernelFrame
    channels: int
    dst: Layout
    residual: Layout | None
    integer: bool
    wide: bool = False
    acc_shift: int = 0
    sign: bool = False
    packs: bool = False
    few: bool = False
    bounded: bool = False
    _scalars: dict[str, Any] = field(default_factory=dict)
    _residuals: Any = None

    def __post_init__(self) -> None:
        base = self.channels if self.integer else 0
        names = ["lo", "hi"] if not self.sign else []
        if self.integer and self.dst.dtype != "f32" and not self.sign:
            names.append("zero")
        if self.integer and self.residual is not None:
            names += ["r_step", "r_shift", "r_multiplier"]
        for name in names:
            value = self.kernel.s[base + _SCALARS.index(name)]
            self._scalars[name] = TB.Bind(T.cast(value, "int32") if name == "zero" else value)
        if self.few and self.packs and self.residual is not None and self.integer:
            stored = tirx.Shuffle([T.int32(value) for value in range(LANES)], [tirx.IntImm("int32", i) for i in range(LANES)])
            self._residuals = TB.Bind(self._added(stored, LANES))

    def columns(self, channel: Any, lanes: int = LANES) -> tuple[Any, Any]:
        """Bias and multiplier (None for float) of ``lanes`` channels, loaded once for all their pixels."""
        bias = TB.Bind(load(self.kernel.b, channel, lanes))
        return bias, TB.Bind(load(self.kernel.s, channel, lanes)) if self.integer else None

    def _whole(self, acc: Any, bias: Any, lanes: int) -> Any:
        """(acc << shift) + bias: int32 or float64 x lanes."""
        if self.acc_shift:
            acc = acc * splat((T.float64 if self.wide else T.int32)(1 << self.acc_shift), "int32", lanes)
        return acc + bias

    def _zeros(self, lanes: int) -> Any:
        return splat(0.0, "float64", lanes) if self.wide else splat(0, "int32", lanes)

    def _real(self, acc: Any, columns: tuple[Any, Any], residual_at: Any, lanes: int) -> Any:
        """f: float32 x lanes."""
        bias, scale = columns
        if not self.integer:
            value = acc + bias
            return value if self.residual is None else value + load(self.kernel.r, residual_at, lanes)
        value = convert(self._whole(acc, bias, lanes), "float32", lanes) * scale
        if self.residual is None:
            return value
        stored = load(self.kernel.r, residual_at, lanes)
        if self._residuals is not None and lanes == LANES:
            return fence(value) + vpermps(self._residuals, convert(stored, "int32"))
        return fence(value, lanes) + fence(self._added(stored, lanes), lanes)

    def _added(self, stored: Any, lanes: int) -> Any:
        """What a residual adds: float32 x lanes."""
        get = self._scalars
        return operand(stored, get["r_step"], get["r_shift"], lanes) * splat(get["r_multiplier"], "float32", lanes)

    def write_row(
        self, row: list[Any], columns: list[tuple[Any, Any]], dst_at: Any, residual_at: Any, lanes: int = LANES
    ) -> None:
        """:meth:`write` of vectors whose channels follow one another: ``row`` and ``columns`` of each."""
        may = self.packs and self.integer and not self.sign and self.dst.dtype == "u8" and lanes == LANES
        get, start = self._scalars, 0
        while start < len(row):
            count = packed_together(len(row) - start) if may else 1
            at = start * lanes
            if count > 1:
                group = range(start, start + count)
                values = [self._real(row[i], columns[i], residual_at + i * lanes, lanes) for i in group]
                packed = packed_bytes(values, get["lo"], get["hi"], get["zero"], True, self.bounded)
                store(self.kernel.o, dst_at + at, packed, count * lanes)
            else:
                self.write(row[start], columns[start], dst_at + at, residual_at + at, lanes)
            start += count

    def write(self, acc: Any, columns: tuple[Any, Any], dst_at: Any, residual_at: Any = 0, lanes: int = LANES) -> None:
        """Store the results of ``lanes`` channels.

        ``acc``: int32 x lanes (float64 for ``wide``, float32 for float), ``columns``: of these channels;
        ``dst_at``, ``residual_at``: element offsets into o and r.
        """
        if self.sign and self.integer and self.residual is None:
            reached = self._whole(acc, columns[0], lanes) >= self._zeros(lanes)
            store(self.kernel.o, dst_at, convert(reached, "uint8", lanes), lanes)
            return
        value, get = self._real(acc, columns, residual_at, lanes), self._scalars
        if self.dst.dtype == "f32":
            value = between(value, splat(get["lo"], "float32", lanes), splat(get["hi"], "float32", lanes))
        else:
            dtype = TIR_DTYPE[self.dst.dtype]
            value = integer_result(value, get.get("lo"), get.get("hi"), get.get("zero"), dtype, self.sign, lanes)
        store(self.kernel.o, dst_at, value, lanes)


def epilogue_of(
    kernel: KernelFrame, spec: ConvSpec | DepthwiseSpec | WinogradSpec, channels: int, integer: bool, wide: bool, target: Target
) -> Epilogue:
    """The epilogue of ``spec`` on ``target``, opened."""
    at = (kernel, channels, spec.dst, spec.residual, integer, wide, spec.acc_shift, spec.sign)
    return Epilogue(*at, "avx512bw" in target.features, spec.few_residuals, spec.bounded)
