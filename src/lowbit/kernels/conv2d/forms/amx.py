"""AMX: products of tiles of 16 x 64 bytes, sixteen thousand in one instruction, summed in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowbit.kernels.conv2d.amx.field_order import field_order
from lowbit.kernels.conv2d.amx.plan import LONGEST, plan_of
from lowbit.kernels.conv2d.amx.walk import MOST_ROWS, few_tiles
from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.panels import panels
from lowbit.kernels.conv2d.selection.matrix_tiles import MatrixCost
from lowbit.kernels.conv2d.selection.problem import ConvProblem, PackSpec
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.data_movement.spec import PackBytesSpec, PackHalvesSpec, PackTapsSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import FIELDS, Packing
from lowbit.numerics.bfloat16 import bf16x3_relative, splits
from lowbit.numerics.float_products import BF16X3, FloatProducts

__all__ = ["FORMS"]


@dataclass(frozen=True, kw_only=True)
class _Tiles(Form):
    """A step is a tile of weights, 16 rows of four K values of 16 channels: a stretch of the panel that vpdpbusd reads."""

    k_group: int = 64
    rows: int = 16
    element: str = "i8"
    features: str = "amx-tile amx-int8"
    techniques: frozenset[str] = frozenset({"amx"})
    builder: str = "lowbit.kernels.conv2d.amx.build:build"
    bracketed: bool = True
    cases: str = "lowbit.kernels.conv2d.amx.cases:cases"
    loop: str = "lowbit.kernels.peak.tiles:tile_loop"
    settles: bool = False

    def tiles(self, spec: ConvSpec) -> int:
        return plan_of(spec).groups

    def scratch_bytes(self, spec: ConvSpec) -> int:
        return 4 * plan_of(spec).scratch_words


_FEW_PIXELS = 4  # tiles: all there are, so that each weight is read, and unpacked, once


@dataclass(frozen=True, kw_only=True)
class _Narrow(_Tiles):
    """Weights of few bits stay so in memory, which is what is streamed; kernels make bytes of them some steps before their
    products.  For layers of few pixels, whose time is that of reading weights."""

    grouped: bool = False

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        if problem.src.dtype != "u8" or problem.wide:
            return False
        half = 1 << 8 // FIELDS[self.element] - 1
        fits = weights.min(initial=0) >= -half and weights.max(initial=0) < half
        return bool(fits and few_tiles(problem.src, problem.dst, problem.stride, _FEW_PIXELS))

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        packed = panels(spec, self.element, self.rows, problem.groups, weights)
        return replace(packed, shuffle=field_order(spec.nr, FIELDS[self.element]))


_COPIED = 0.08  # cycles a byte: 64 read and 64 written in five; estimated from the level-2 cache's 132 GB/s


@dataclass(frozen=True, kw_only=True)
class _Gathered(_Tiles):
    """Of layers with a stride and few output pixels, whose rows are shorter than a tile: what each of these reads is copied side
    by side first (PackTapsSpec), which makes a 1x1 layer of taps * C channels, whose pixels fill tiles: 7 x 7 are four of 13
    rows, not seven of 7.  Without groups, and without channels behind the last one."""

    pack_kind = PackTapsSpec.kind

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        src, dst = problem.src, problem.dst
        strided = problem.stride != (1, 1) and dst.w < MOST_ROWS and dst.pixels <= _FEW_PIXELS * MOST_ROWS
        return strided and problem.groups == 1 and src.c == src.stride and super().holds(problem, weights)

    def geometry(self, problem: ConvProblem) -> dict[str, Any]:
        dst, taps = problem.dst, problem.taps * problem.src.c
        gathered = Layout(dst.n, dst.h, dst.w, taps, taps, problem.src.dtype)
        one = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "padding": (0, 0)}
        return problem.geometry | {"src": gathered, **one}

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackTapsSpec | None:
        p = problem
        return PackTapsSpec(src=p.src, dst=spec.src, kernel=p.kernel, stride=p.stride, dilation=p.dilation, padding=p.padding)

    def packing_cycles(self, pack: PackSpec) -> float:
        return pack.dst.elements * _COPIED


_INT16, _INT8 = (-32768, 32767), (-128, 127)


@dataclass(frozen=True, kw_only=True)
class _Words(_Tiles):
    """x = 256 x_h + x_l and w = 256 w_h + w_l, of which the high bytes have the sign: 65536 x_h w_h + 256 (x_h w_l + x_l w_h)
    + x_l w_l, every product summed in int32 with those worth as much, and the sums in float64.  Weights of one byte, and inputs
    of one, have fewer products.  16-bit inputs are taken apart first (PackBytesSpec)."""

    wide: bool = True

    pack_kind = PackBytesSpec.kind
    pack_cycles = (0.1, 0.0)  # estimated from vector stores; 0.1 ns a value measured at 2.5 GHz, both planes

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        taken = problem.wide and problem.src.dtype in ("i16", "u8") and weights[0].size <= LONGEST
        return bool(taken and weights.min(initial=0) >= _INT16[0] and weights.max(initial=0) <= _INT16[1])

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        bytes_fit = weights.min(initial=0) >= _INT8[0] and weights.max(initial=0) <= _INT8[1]
        return 1 if spec.parts == 2 or bytes_fit else None

    def source(self, src: Layout) -> Layout:
        return replace(src, n=2 * src.n, dtype="u8") if src.dtype == "i16" else src

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackBytesSpec | None:
        return PackBytesSpec(src=problem.src, dst=spec.src) if problem.src.dtype == "i16" else None


@dataclass(frozen=True, kw_only=True)
class _Halves(_Tiles):
    """x = x_h + x_l + e and w alike, of bfloat16 (numerics/bfloat16.py): x_h w_l + x_h w_h + x_l w_h, all in one float32 sum.
    Inputs are taken apart first (PackHalvesSpec), to pixels of whole steps: behind a channel lies 0, not whatever is there.

    No layers with groups, whose steps would reach into channels of the next group: 0 * NaN is NaN."""

    k_group: int = 32
    element: str = "bf16"
    features: str = "amx-tile amx-bf16"
    grouped: bool = False
    asked: FloatProducts | None = BF16X3
    sums: str = "lowbit.kernels.conv2d.amx.reference:sums"
    loop: str = "lowbit.kernels.peak.tiles:halves_loop"

    pack_kind = PackHalvesSpec.kind
    pack_cycles = (0.8, 2.0)  # estimated: 22 instructions for sixteen channels (counted), 8 bytes a value

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        return problem.src.dtype == "f32" and splits(weights)

    def source(self, src: Layout) -> Layout:
        return replace(src, n=2 * src.n, dtype="bf16", stride=-(-src.c // self.k_group) * self.k_group)

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackHalvesSpec | None:
        return PackHalvesSpec(src=problem.src, dst=spec.src)

    def parts(self, problem: ConvProblem) -> tuple[int, ...]:
        return (2,)

    def relative_error(self, spec: ConvSpec) -> float | None:
        runs = self.runs(spec, self.k_group)
        return bf16x3_relative(runs.count * runs.steps(self.k_group))


_EXACT = "tdpbusd sums products of bytes into int32 without saturation"

FORMS: tuple[Form, ...] = (
    _Tiles(
        name="u8_amx",
        reads=("u8",),
        exact=_EXACT,
        words=Words("tdpbusd", "bytes", "multiplies tiles of 16 x 64 bytes, whatever their values, into 32 bits", True),
        x86=MatrixCost(),
    ),
    _Narrow(
        name="u8_amx_i4",
        element="i4",
        reads=("u8",),
        exact=_EXACT,
        words=Words("tdpbusd", "bytes", "multiplies tiles of 16 x 64 bytes, made of weights of 4 bits, into 32 bits"),
        x86=MatrixCost(narrow=4),
    ),
    _Narrow(
        name="u8_amx_i2",
        element="i2",
        reads=("u8",),
        exact=_EXACT,
        words=Words("tdpbusd", "bytes", "multiplies tiles of 16 x 64 bytes, made of weights of 2 bits, into 32 bits"),
        x86=MatrixCost(narrow=2),
    ),
    _Gathered(
        name="u8_amx_gathered",
        reads=("u8",),
        exact=_EXACT,
        words=Words("tdpbusd", "bytes", "multiplies tiles of 16 x 64 bytes, gathered before, into 32 bits"),
        x86=MatrixCost(),
    ),
    _Words(
        name="i16_amx",
        reads=("u8",),
        exact="proven: sums of products worth the same stay in int32 for K up to 32896, and float64 holds the whole",
        words=Words("tdpb[us][us]d", "int16 by bytes", "multiplies the bytes of 16-bit numbers, tiles of 16 x 64, into 32 bits"),
        x86=MatrixCost(wide=True),
    ),
    _Halves(
        name="bf16x3_amx",
        reads=("bf16",),
        exact="asked for: |error| <= (2^-15 + 2^-34 + gamma(3 K / 32 + 18) (1 + 2^-6 + 2^-14)) * sum |x w|",
        words=Words("tdpbf16ps", "float", "multiplies tiles of 16 x 32 bfloat16, three for each product of float32"),
        x86=MatrixCost(halves=True),
    ),
)
