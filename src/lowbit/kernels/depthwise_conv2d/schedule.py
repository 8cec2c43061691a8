"""DepthwiseSpec -> TensorIR.

One register of 32-bit channels at a time, its weights in registers, walking along a row of output pixels
in small tiles; an input column is loaded and widened once for all the output pixels and taps of the tile that read it.

Integers: two kernel rows are one multiplication.  A 32-bit lane holds a channel's values of rows ky and
ky + 1 as int16 halves, ``pmaddwd`` with the two weights sums both products::

      31            16 15             0
     | x[ky+1, col, c] | x[ky, col, c] |      lane of channel c
     | w[ky+1, kx,  c] | w[ky, kx,  c] |      acc[c] += both products, in int32

NEON multiplies int16 of one row (``smlal``, ``smlal2``), eight channels at a time.

u8 values are at most 255 and weights at most 8 bits, so int32 holds 2^16 taps; for ``i16`` the lowering
proves the sum from the weights (arithmetic is modulo 2^32, so only the total has to fit).  ``wide``: weights
are 256 * high + low with |high|, |low| <= 128, each part sums in int32 (|x| * 2^7 * taps < 2^31 up to
511 taps; the lowering proves it from the weights), and the parts meet in float64, exactly.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from tvm.script import tirx as T
from tvm.tirx.script import builder as TB

from lowbit.kernels.abi import TIR_DTYPE, KernelFrame, kernel_function
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.depthwise_conv2d.tile import column_readers, tile_width
from lowbit.kernels.epilogue import epilogue_of, epilogue_pointers
from lowbit.kernels.intrinsics.neon import smull
from lowbit.kernels.intrinsics.x86 import maddwd, vpdpwssd
from lowbit.kernels.prefetch import LINE, fetch, is_far
from lowbit.kernels.rows import row_position
from lowbit.kernels.vectors import LANES, convert, load, splat, store
from lowbit.targets import Target

__all__ = ["build"]

_ELEMENT = {"f32": "float32", "i8": "int8", "i16": "int16"}


class _Arithmetic:
    """Products of an input column with a weight vector, one register of channels wide."""

    def __init__(self, spec: DepthwiseSpec, target: Target) -> None:
        self.floats = spec.form == "f32"
        self.paired = not self.floats and "sse2" in target.features
        self.fused = self.paired and bool(target.features & {"avx512vnni", "avxvnni"})
        self.halves = not self.floats and "neon" in target.features
        self.lanes = 8 if self.halves else min(LANES, target.vector_bytes // 4)
        self.total = "float32" if self.floats else "int32"

    def groups(self, rows: int) -> list[tuple[int, ...]]:
        """Kernel rows that meet in one multiplication."""
        step = 2 if self.paired else 1
        return [tuple(range(r, min(r + step, rows))) for r in range(0, rows, step)]

    def join(self, values: list[Any]) -> Any:
        """One or two rows of loaded elements -> the vector that is multiplied."""
        if self.halves:
            return convert(values[0], "int16", self.lanes)
        signed = str(values[0].ty).startswith("int")
        first = convert(values[0], self.total, self.lanes)
        if not self.paired:
            return first
        if signed:  # the sign must not reach the upper half
            first = first & splat(0xFFFF, "int32", self.lanes)
        if len(values) == 1:
            return first
        return first | (convert(values[1], "int32", self.lanes) << splat(16, "int32", self.lanes))

    def add(self, acc: Any, column: Any, weight: Any) -> Any:
        if self.paired:
            halves = f"int16x{2 * self.lanes}"
            column, weight = T.reinterpret(halves, column), T.reinterpret(halves, weight)
        if self.fused:
            return vpdpwssd(splat(0, "int32", self.lanes) if acc is None else acc, column, weight, 4 * self.lanes)
        if self.halves:
            product = smull(column, weight, self.lanes)
            return product if acc is None else acc + product
        product = maddwd(column, weight, 4 * self.lanes) if self.paired else column * weight
        return product if acc is None else acc + product


def build(spec: DepthwiseSpec, target: Target) -> Any:
    """One output row a unit."""
    src, dst = spec.src, spec.dst
    taps, parts = spec.taps, 2 if spec.wide else 1
    pointers = epilogue_pointers(dst.stride, dst, spec.residual, spec.form != "f32", spec.wide)
    pointers |= {"x": (TIR_DTYPE[src.dtype], src.elements), "w": (_ELEMENT[spec.form], taps * parts * dst.stride)}
    arithmetic = _Arithmetic(spec, target)
    lanes, width = arithmetic.lanes, tile_width(spec, target)
    filled = min(-(-src.stride // lanes) * lanes, dst.stride)

    with kernel_function(spec.symbol(target.name), **pointers) as k:
        epilogue = epilogue_of(k, spec, dst.stride, spec.form != "f32", spec.wide, target)
        with TB.serial(k.lo, k.hi) as row:
            image, y = row_position(row, dst)
            with TB.serial(filled // lanes) as chunk:
                c0 = chunk * lanes
                weights = _weights(spec, k, arithmetic, parts, c0)
                columns = epilogue.columns(c0, lanes)
                with TB.serial(-(-dst.w // width)) as tile:
                    x0 = TB.Bind(T.min(tile * width, T.int32(dst.w - width)))
                    _fetch_next_row(spec, k, target, width, lanes, (image, y, x0, chunk))
                    sums = _tile(spec, k, arithmetic, weights, parts, width, (image, y, x0, c0))
                    for i in range(width):
                        at = (image, y, x0 + i, c0)
                        residual_at = spec.residual.offset(*at) if spec.residual is not None else 0
                        epilogue.write(sums[i], columns, dst.offset(*at), residual_at, lanes)
            if filled < dst.stride:
                with TB.serial(dst.w) as x, TB.serial((dst.stride - filled) // lanes) as chunk:
                    padding = dst.offset(image, y, x, filled + chunk * lanes)
                    store(k.o, padding, splat(0, TIR_DTYPE[dst.dtype], lanes), lanes)
    return k.func


def _weights(spec: DepthwiseSpec, k: KernelFrame, arithmetic: _Arithmetic, parts: int, c0: Any) -> dict[Any, Any]:
    """(part, group, kx) -> weight vector, loaded before the walk along the row."""
    kw, stride = spec.kernel[1], spec.dst.stride
    vectors = {}
    for part in range(parts):
        for group in arithmetic.groups(spec.kernel[0]):
            for kx in range(kw):
                at = [((ky * kw + kx) * parts + part) * stride + c0 for ky in group]
                vectors[part, group, kx] = TB.Bind(arithmetic.join([load(k.w, a, arithmetic.lanes) for a in at]))
    return vectors


def _fetch_next_row(spec: DepthwiseSpec, k: KernelFrame, target: Target, width: int, lanes: int, at: tuple[Any, ...]) -> None:
    """What the next row of outputs reads and this one does not, and the lines it writes, behind the tile's own columns.
    Where two chunks of channels share a line, each fetches every second column."""
    image, y, x0, chunk = at
    (sy, sx), (top, left) = spec.stride, spec.padding
    down, right = ((taps - 1) * apart for taps, apart in zip(spec.kernel, spec.dilation, strict=True))
    sharing = max(1, LINE // lanes)

    def columns(first: Any, count: int) -> list[Any]:
        return [first + (i * sharing + chunk % sharing) for i in range(-(-count // sharing))]

    if is_far(spec.src, target):
        for row, column in product(range(min(sy, down + 1)), columns(x0 * sx + (right - left), width * sx)):
            fetch(k.x, spec.src.offset(image, (y + 1) * sy + (down - row - top), column, chunk * lanes))
    if is_far(spec.dst, target):
        for column in columns(x0, width):
            fetch(k.o, spec.dst.offset(image, y + 1, column, chunk * lanes))


def _tile(
    spec: DepthwiseSpec,
    k: KernelFrame,
    arithmetic: _Arithmetic,
    weights: dict[Any, Any],
    parts: int,
    width: int,
    at: tuple[Any, Any, Any, Any],
) -> list[Any]:
    """Accumulators of ``width`` output pixels from x0 on."""
    image, y, x0, c0 = at
    (sy, sx), (dy, dx), (top, left) = spec.stride, spec.dilation, spec.padding
    lanes = arithmetic.lanes
    acc: dict[tuple[int, int], Any] = {}
    for column, readers in column_readers(width, spec.kernel[1], sx, dx):
        for group in arithmetic.groups(spec.kernel[0]):
            rows = [spec.src.offset(image, y * sy + (ky * dy - top), x0 * sx + (column - left), c0) for ky in group]
            values = TB.Bind(arithmetic.join([load(k.x, row, lanes) for row in rows]))
            for part in range(parts):
                for pixel, kx in readers:
                    acc[part, pixel] = TB.Bind(arithmetic.add(acc.get((part, pixel)), values, weights[part, group, kx]))
    if parts == 1:
        return [acc[0, pixel] for pixel in range(width)]
    return [
        convert(acc[0, pixel], "float64", lanes) * splat(256.0, "float64", lanes) + convert(acc[1, pixel], "float64", lanes)
        for pixel in range(width)
    ]
