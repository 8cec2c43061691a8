"""Pools to try: odd windows, halos, batches, global ones, every pair of types."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.kernels.case import Case, blank, place, random_values, results
from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.targets import Target

__all__ = ["cases"]

#        n  h   w   c   src stride, dst stride, kernel, stride, padding
_SHAPES = {
    "3x3s2p1": (2, 9, 11, 64, 64, 64, 3, 2, 1),
    "2x2": (1, 6, 8, 20, 32, 48, 2, 2, 0),
    "global": (2, 7, 5, 144, 144, 144, None, 1, 0),
    "3x3s1p1_strides": (1, 5, 5, 17, 48, 32, 3, 1, 1),
    "one_pixel": (1, 1, 1, 1, 16, 16, 1, 1, 0),
    "narrow": (1, 6, 6, 3, 3, 16, 2, 2, 0),
}
_SAME = (("u8", "u8"), ("i16", "i16"), ("f32", "f32"))
_SCALE = {("i16", "u8"): 0.004, ("u8", "i16"): 90.7}  # of means, to fill the result


def cases(target: Target) -> Iterator[Case]:
    """Maxima and means of every shape and types; integer means with sums of int32 and of float64, and as signs."""
    for shape, dtypes, fn in product(_SHAPES, _SAME, ("max", "min")):
        yield _case(shape, dtypes, fn)
    for shape, dtypes in product(_SHAPES, (*_SAME, ("u8", "i16"), ("i16", "u8"))):
        yield _norm(shape, dtypes)
    yield _norm("2x2", ("u8", "u8"), sign=True)
    for shape, dtypes in product(_SHAPES, (*_SAME, ("u8", "i16"), ("i16", "u8"))):
        yield _case(shape, dtypes, "avg")
    for dtypes in _SAME:
        yield _case("2x2", dtypes, "avg", wide=True)
    yield _case("2x2", ("u8", "u8"), "avg", sign=True)


def _windows(extent: int, kernel: int, stride: int, pad: int) -> list[tuple[int, int]]:
    count = (extent + 2 * pad - kernel) // stride + 1
    return [(max(i * stride - pad, 0), min(i * stride - pad + kernel, extent)) for i in range(count)]


def _problem(
    shape: str, dtypes: tuple[str, str]
) -> tuple[Layout, Layout, list[tuple[int, int]], list[tuple[int, int]], np.ndarray, np.ndarray]:
    """Layouts, windows and their table, stored values."""
    n, h, w, c, src_stride, dst_stride, kernel, stride, pad = _SHAPES[shape]
    ys, xs = (_windows(extent, kernel or extent, stride, pad) for extent in (h, w))
    src = Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1)
    dst = Layout(n, len(ys), len(xs), c, dst_stride, dtypes[1], left=1, bottom=2)
    t = np.array([y for y, _ in ys] + [y for _, y in ys] + [x for x, _ in xs] + [x for _, x in xs], np.int32)
    return src, dst, ys, xs, t, random_values(np.random.default_rng(1), src)


def _norm(shape: str, dtypes: tuple[str, str], sign: bool = False) -> Case:
    src, dst, _, _, t, x = _problem(shape, dtypes)
    lo, hi, zero = results(dtypes[1])
    factor = _SCALE.get(dtypes, 1.0) * 0.2137
    s = (
        None
        if dtypes[0] == "f32"
        else np.array([2.0 if sign else 1.0, -1.0 if sign else -131.0, lo, hi, zero, factor], np.float32)
    )
    x = (x & 1) if sign else x
    bound = 3e-7 * float(np.abs(x).max()) * 10 if s is None else 0.0  # the order of sums of float64, rounded to float32
    memory = {"x": place(x, src), "t": t, "o": blank(dst)} | ({} if s is None else {"s": s})
    values = {"x": x, "t": t, "s": s}
    name = f"norm/{shape}/{dtypes[0]}_{dtypes[1]}" + "/sign" * sign
    return Case(
        name=name, spec=PoolSpec(fn="norm", src=src, dst=dst, sign=sign), memory=memory, values=values, dst=dst, bound=bound
    )


def _case(shape: str, dtypes: tuple[str, str], fn: str, wide: bool = False, sign: bool = False) -> Case:
    src, dst, ys, xs, t, x = _problem(shape, dtypes)
    if dtypes[0] == "i16" and fn in ("max", "min"):
        x = np.minimum(x, -5) if fn == "max" else np.maximum(x, 5)  # beyond the zeros of an accumulator that started wrong
    divisors = np.array([(y1 - y0) * (x1 - x0) for y0, y1 in ys for x0, x1 in xs])
    lo, hi, zero = results(dtypes[1])
    header = [] if dtypes[0] == "f32" else [1.0, -128.0 if sign else -3.0, lo, hi, zero]
    s = np.concatenate([header, _SCALE.get(dtypes, 1.0) * 1.0137 / divisors]).astype(np.float32)
    # n - 1 additions and one product, each within eps / 2 of sum |x|, and the rounding of the result
    loose = dtypes[0] == "f32" and fn == "avg"
    bound = (64 * 6e-8 + 1e-6) * float(np.abs(x).max()) if loose else 0.0
    name = f"{fn}/{shape}/{dtypes[0]}_{dtypes[1]}" + "/wide" * wide + "/sign" * sign
    spec = PoolSpec(fn=fn, src=src, dst=dst, wide=wide, sign=sign)
    memory = {"x": place(x, src), "t": t, "s": s, "o": blank(dst)}
    return Case(name=name, spec=spec, memory=memory, values={"x": x, "t": t, "s": s}, dst=dst, bound=bound)
