"""Normalisations to try: one channel to a thousand, constant values, means far from 0, every pair of types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from lowbit.kernels.case import Case, blank, place, random_values, results
from lowbit.kernels.layout import Layout
from lowbit.kernels.normalize import reference
from lowbit.kernels.normalize.spec import LayerNormSpec, MomentsSpec, NormalizeSpec, StatisticsSpec
from lowbit.targets import Target

__all__ = ["layer_norm_cases", "moments_cases", "normalize_cases", "statistics_cases"]

#        n  h  w   c   src stride, dst stride
_SHAPES = {
    "tokens": (2, 1, 5, 96, 96, 96), "long": (1, 1, 2, 1000, 1008, 1008), "pixels": (2, 3, 5, 19, 32, 48),
    "narrow": (1, 2, 4, 3, 16, 16), "one": (1, 1, 1, 1, 16, 16),
}  # fmt: skip
_TYPES = (("u8", "u8"), ("i16", "i16"), ("u8", "i16"), ("i16", "u8"), ("f32", "f32"))
_WAYS = ((True, True), (False, True), (False, False))  # layer norm, root mean square, unit length
_STEPS = {"u8": 40.0, "i16": 9000.0, "f32": 1.0}


def _layouts(shape: str, dtypes: tuple[str, str]) -> tuple[Layout, Layout]:
    n, h, w, c, src_stride, dst_stride = _SHAPES[shape]
    return Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1), Layout(n, h, w, c, dst_stride, dtypes[1], left=1, bottom=1)


def _padded(values: np.ndarray, layout: Layout) -> np.ndarray:
    return np.concatenate([values, np.zeros(layout.stride - layout.c, values.dtype)])


def _drawn(layout: Layout, flat: bool, seed: int = 0) -> np.ndarray:
    """``flat``: one pixel of equal values, the others near the end of their type."""
    x = random_values(np.random.default_rng(seed), layout)
    if flat:
        x = (x // 64 + (190 if layout.dtype == "u8" else 29000)).astype(x.dtype) if layout.dtype != "f32" else x + 300
        x[:, :, 0] = x[0, 0, 0, 0]
    return x


def _scalars(dtypes: tuple[str, str], sign: bool) -> np.ndarray:
    if dtypes[0] == "f32":
        return np.array([-1.5, np.inf], np.float32)
    return np.array([2.0 if sign else 1.0, -1.0 if sign else -117.0, *results(dtypes[1])], np.float32)


def layer_norm_cases(target: Target) -> Iterator[Case]:
    for shape, dtypes, way, flat in product(_SHAPES, _TYPES, _WAYS, (False, True)):
        yield _layer_norm(shape, dtypes, way, flat)
    yield _layer_norm("pixels", ("u8", "u8"), (True, True), False, sign=True)


def _layer_norm(shape: str, dtypes: tuple[str, str], way: tuple[bool, bool], flat: bool, sign: bool = False) -> Case:
    src, dst = _layouts(shape, dtypes)
    rng, s, x = np.random.default_rng(1), _scalars(dtypes, sign), _drawn(src, flat)
    x = x & 1 if sign else x
    r = np.array([0.37, 0.0] if way[1] else [0.0, 1e-3])
    w, b = rng.normal(1, 0.3, dst.c).astype(np.float32), rng.normal(0, 0.3, dst.c).astype(np.float32)
    w, b = w * np.float32(_STEPS[dst.dtype]), b * np.float32(_STEPS[dst.dtype])
    spec = LayerNormSpec(src=src, dst=dst, centred=way[0], mean=way[1], sign=sign)
    memory = {"x": place(x, src), "r": r, "w": _padded(w, dst), "b": _padded(b, dst), "s": s, "o": blank(dst)}
    values: dict[str, Any] = {"x": x, "r": r, "w": w, "b": b, "s": s}
    name = f"{'centred' if way[0] else 'mean' if way[1] else 'length'}/{shape}/{dtypes[0]}_{dtypes[1]}"
    return Case(
        name=name + "/flat" * flat + "/sign" * sign,
        spec=spec,
        memory=memory,
        values=values,
        dst=dst,
        bound=_float_bound(reference.layer_norm(spec, **values), b) if src.dtype == "f32" else 0.0,
    )


def _float_bound(result: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Float64 sums in another order, rounded to float32 three times on the way, and a last sum."""
    return 1e-6 * (np.abs(result) + np.abs(b) + 1e-3)


def moments_cases(target: Target) -> Iterator[Case]:
    for shape, dtype in product(_SHAPES, ("u8", "i16", "f32")):
        src, _ = _layouts(shape, (dtype, dtype))
        dst = Layout(src.n, src.h, 2, src.c, src.stride, "f64")
        x, s = _drawn(src, False), None if dtype == "f32" else _scalars((dtype, "u8"), False)
        memory = {"x": place(x, src), "o": blank(dst)} | ({} if s is None else {"s": s[:2]})
        values = {"x": x, "s": None if s is None else s[:2]}
        bound = 1e-12 if src.dtype == "f32" else 0.0
        yield Case(
            name=f"{shape}/{dtype}", spec=MomentsSpec(src=src, dst=dst), memory=memory, values=values, dst=dst, bound=bound
        )


def statistics_cases(target: Target) -> Iterator[Case]:
    for groups, exact, way in product((1, 3, 12), (False, True), _WAYS):
        pixels = Layout(2, 5, 7, 12, 16, "u8" if exact else "f32")
        x = _drawn(pixels, False)
        x[:, :, :, :4] = x[0, 0, 0, 0]  # a group without variance
        sums = reference.moments(MomentsSpec(src=pixels, dst=pixels), x, np.array([1, -100], np.float32) if exact else None)
        src, dst = Layout(2, 5, 2, 12, 16, "f64"), Layout(2, 1, 3, 12, 16, "f32")
        r = np.array([0.37, 0.0] if way[1] else [0.0, 1e-3])
        w = np.random.default_rng(5).normal(1, 0.3, 12).astype(np.float32)
        spec = StatisticsSpec(src=src, dst=dst, area=35, groups=groups, exact=exact, centred=way[0], mean=way[1])
        values = {"x": sums, "r": r, "w": w}
        bound = 0.0 if exact else 1e-6 * np.abs(reference.statistics(spec, **values)) + 1e-7
        yield Case(
            name=f"{groups}/{'exact' if exact else 'float'}/{way[0]:d}{way[1]:d}",
            spec=spec,
            memory={"x": place(sums, src), "r": r, "w": _padded(w, dst), "o": blank(dst)},
            values=values,
            dst=dst,
            bound=bound,
        )


def normalize_cases(target: Target) -> Iterator[Case]:
    for shape, dtypes in product(_SHAPES, _TYPES):
        yield _normalize(shape, dtypes)
    yield _normalize("pixels", ("u8", "u8"), sign=True)


def _normalize(shape: str, dtypes: tuple[str, str], sign: bool = False) -> Case:
    src, dst = _layouts(shape, dtypes)
    table = replace(Layout(src.n, 1, 3, src.c, dst.stride, "f32"))
    rng, s, x = np.random.default_rng(2), _scalars(dtypes, sign), _drawn(src, False)
    x = x & 1 if sign else x
    r = rng.normal(0, 1, (src.n, 1, 3, src.c)).astype(np.float32)
    r[:, :, 0] = np.rint(r[:, :, 0] * 50)
    r[:, :, 2] *= np.float32(
        {"u8": 1.0, "i16": 1 / 256, "f32": 1.0}[dtypes[0]] * {"u8": 0.7, "i16": 150.0, "f32": 1.0}[dtypes[1]]
    )
    b = (rng.normal(0, 1, dst.c) * _STEPS[dst.dtype]).astype(np.float32)
    values: dict[str, Any] = {"x": x, "r": r, "b": b, "s": s}
    spec = NormalizeSpec(src=src, table=table, dst=dst, sign=sign)
    memory = {"x": place(x, src), "r": place(r, table), "b": _padded(b, dst), "s": s, "o": blank(dst)}
    bound = _float_bound(reference.normalize(spec, **values), b) if src.dtype == "f32" else 0.0
    return Case(
        name=f"{shape}/{'_'.join(dtypes)}" + "/sign" * sign, spec=spec, memory=memory, values=values, dst=dst, bound=bound
    )
