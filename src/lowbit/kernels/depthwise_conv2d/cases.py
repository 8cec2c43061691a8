"""Depthwise convolutions to try: kernels, strides, dilations, residuals, every width, at random and at the ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from lowbit.kernels.case import Case, blank, physical, place, random_values
from lowbit.kernels.conv2d.pack import pack_weights
from lowbit.kernels.depthwise_conv2d.reference import accumulate
from lowbit.kernels.depthwise_conv2d.spec import DepthwiseSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing
from lowbit.targets import Target

__all__ = ["SHAPES", "WIDTHS", "case_of", "cases", "spec_of"]

#         n  h   w   c   stride kernel  stride  dilation padding (top, left, bottom, right)
SHAPES = {
    "3x3": (1, 6, 14, 32, 32, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "3x3s2": (2, 9, 15, 48, 48, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "5x5": (1, 7, 7, 20, 32, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
    "3x3d2": (1, 8, 9, 16, 16, (3, 3), (1, 1), (2, 2), (2, 2, 2, 2)),
    "2x4": (1, 5, 6, 5, 16, (2, 4), (1, 2), (1, 1), (0, 1, 1, 2)),
    "1x1": (1, 3, 5, 17, 32, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    "7x7": (1, 7, 8, 16, 16, (7, 7), (1, 1), (1, 1), (3, 3, 3, 3)),
    "one_pixel": (1, 1, 1, 1, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "column": (2, 5, 1, 16, 16, (3, 1), (1, 1), (1, 1), (1, 0, 1, 0)),
}


@dataclass(frozen=True)
class Width:
    """Types of source, result and residual; form, ``wide`` and weights (from, below) of the spec."""

    src: str
    dst: str
    form: str
    wide: bool = False
    weights: tuple[int, int] = (-128, 128)
    residual: str | None = None
    few: bool = False


WIDTHS = {
    "u8i8": Width("u8", "u8", "i8"),
    "u8i8_add": Width("u8", "u8", "i8", residual="u8"),
    "u8i8_few": Width("u8", "u8", "i8", residual="u8", few=True),
    "u8i8_f32": Width("u8", "f32", "i8"),
    "u8i8_f32_add": Width("u8", "f32", "i8", residual="u8"),
    "u8i4_i16": Width("u8", "i16", "i8", weights=(-8, 8), residual="i16"),
    "i16i8": Width("i16", "i16", "i16"),
    "i16i16": Width("i16", "i16", "i16", wide=True, weights=(-32768, 32768)),
    "i16i8_wide_add": Width("i16", "u8", "i16", wide=True, residual="i16"),
    "u8i16": Width("u8", "u8", "i16", wide=True, weights=(-32768, 32768)),
    "f32": Width("f32", "f32", "f32"),
    "f32_add": Width("f32", "f32", "f32", residual="f32"),
}


def cases(target: Target) -> Iterator[Case]:
    for shape, width in product(SHAPES, WIDTHS):
        yield _random(f"{shape}/{width}", spec_of(shape, width), width)
    for width in ("u8i8", "i16i16"):
        yield _random(f"shift/{width}", spec_of("3x3", width, acc_shift=3), width)
    for width in ("u8i8", "u8i8_add"):
        yield _random(f"sign/{width}", spec_of("3x3", width, sign=True), width)
    for width, x_end, w_end in product(("u8i8", "i16i16", "i16i8_wide_add", "u8i16"), ("min", "max"), ("min", "max")):
        yield _ends(width, x_end, w_end)


def spec_of(shape: str, width: str, acc_shift: int = 0, sign: bool = False) -> DepthwiseSpec:
    n, h, w, c, physical_c, kernel, stride, dilation, (top, left, bottom, right) = SHAPES[shape]
    types = WIDTHS[width]
    oh = (h + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    ow = (w + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    return DepthwiseSpec(
        # one more halo than this layer needs: another reader may want it
        src=Layout(n, h, w, c, physical_c, types.src, top + 1, left, bottom, right + 1),
        dst=Layout(n, oh, ow, c, physical_c, types.dst, 1, 2, 0, 1),
        residual=Layout(n, oh, ow, c, physical_c, types.residual, 0, 1, 1, 0) if types.residual else None,
        few_residuals=types.few,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=(top, left),
        act=types.src,
        weight=types.form,
        form=types.form,
        acc_shift=acc_shift,
        wide=types.wide,
        sign=sign,
    )


def _random(name: str, spec: DepthwiseSpec, width: str) -> Case:
    """Operands over the whole range of their types, and a scale with which results fill theirs."""
    rng, c = np.random.default_rng(0), spec.dst.c
    x = random_values(rng, Layout(spec.src.n, spec.src.hp, spec.src.wp, c, c, spec.src.dtype))
    r = random_values(rng, spec.residual) if spec.residual else None
    r = r % 16 if r is not None and spec.few_residuals else r
    if spec.form == "f32":
        weights, bias = rng.standard_normal((*spec.kernel, c)), rng.standard_normal(c)
        return case_of(name, spec, x, weights.astype(np.float32), bias.astype(np.float32), np.array([-2, np.inf]), r)
    w = rng.integers(*WIDTHS[width].weights, (*spec.kernel, c))
    spread = np.abs(accumulate(spec, x, w)).mean() * (1 << spec.acc_shift) + 1
    b = rng.integers(-int(spread), int(spread) + 1, c)
    if not spec.wide:
        b = np.clip(b, -(2**30), 2**30)
    reach = {"u8": 60.0, "i16": 9000.0, "f32": 3.0}[spec.dst.dtype]
    m = reach / spread * rng.uniform(0.5, 1.5, c)
    lo, hi, zero = {"u8": (-100, 120, 128), "i16": (-32000, 32000, 60), "f32": (-4, 5, 0)}[spec.dst.dtype]
    r_multiplier = reach / (100 if spec.residual is None or spec.residual.dtype == "u8" else 20000)
    return case_of(name, spec, x, w, b, np.array([*m, lo, hi, 0 if spec.sign else zero, 1, -120, r_multiplier]), r)


def _ends(width: str, x_end: str, w_end: str) -> Case:
    """Every value at an end of its type: the largest sums there are."""
    spec = spec_of("7x7", width)
    ends = np.iinfo(np.uint8 if spec.src.dtype == "u8" else np.int16)
    low, high = WIDTHS[width].weights
    x = np.full((spec.src.n, spec.src.hp, spec.src.wp, spec.dst.c), getattr(ends, x_end), ends.dtype)
    w = np.full((*spec.kernel, spec.dst.c), low if w_end == "min" else high - 1, np.int64)
    m = np.full(spec.dst.c, 90.3 / (int(np.abs(accumulate(spec, x, w)).max()) or 1))
    r = None if spec.residual is None else np.zeros((spec.dst.n, spec.dst.h, spec.dst.w, spec.dst.c), np.int16)
    s = np.array([*m, -100, 120, 128, 1, 0, 1])
    return case_of(f"{x_end}_{w_end}/{width}", spec, x, w, np.zeros(spec.dst.c, np.int64), s, r)


def case_of(
    name: str, spec: DepthwiseSpec, x: np.ndarray, w: np.ndarray, b: np.ndarray, s: np.ndarray, r: np.ndarray | None = None
) -> Case:
    """Arguments as those of the reference."""
    lanes, floats, c, s = spec.dst.stride, spec.form == "f32", spec.dst.c, np.asarray(s, np.float32)
    source = blank(spec.src)
    physical(source, spec.src)[..., :c] = x
    packing = Packing("taps", spec.form, c, spec.taps, 1, 1, lanes, 1, parts=2 if spec.wide else 1)
    memory = {
        "x": source,
        "w": np.frombuffer(pack_weights(w.reshape(-1, c).T, packing), np.uint8),
        "b": _padded(b, lanes).astype(np.float32 if floats else np.float64 if spec.wide else np.int32),
        "s": s if floats else np.concatenate([_padded(s[:c], lanes), s[c:]]),
        "o": blank(spec.dst),
    }
    if r is not None and spec.residual is not None:
        memory["r"] = place(r, spec.residual)
    bound: np.ndarray | float = 0.0
    if floats:
        bound = 2 * (spec.taps + 2) * 6e-8 * (accumulate(spec, np.abs(x), np.abs(w)) + np.abs(b) + 4)
    return Case(name=name, spec=spec, memory=memory, values={"x": x, "w": w, "b": b, "s": s, "r": r}, dst=spec.dst, bound=bound)


def _padded(values: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([values, np.ones(count - len(values), values.dtype)])
