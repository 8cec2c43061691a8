"""Softmaxes to try: one channel to a thousand, tables and floats, every pair of types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.graph.logarithm import logarithm, logarithms
from lowbit.kernels.case import Case, blank, place, random_values
from lowbit.kernels.layout import Layout
from lowbit.kernels.softmax.reference import softmax
from lowbit.kernels.softmax.spec import SoftmaxSpec
from lowbit.targets import Target

__all__ = ["cases", "table"]

#        n  h  w   c   src stride, dst stride
_SHAPES = {
    "logits": (2, 1, 1, 1000, 1008, 1008),
    "attention": (3, 1, 7, 197, 208, 224),
    "pixels": (2, 3, 5, 19, 32, 32),
    "two": (1, 4, 3, 2, 16, 16),
    "one": (1, 1, 1, 1, 16, 16),
    "sixteen": (1, 2, 2, 16, 16, 16),
}
_TYPES = (("u8", "f32"), ("i16", "f32"), ("i16", "u8"), ("u8", "u8"), ("i16", "i16"))
_RESULTS = {"u8": [255 * 9, 0, 255, 0], "i16": [32767 * 9, -32768, 32767, -100], "f32": [0, 0, 0, 0]}


def table(levels: int, channels: int, scale: float) -> np.ndarray:
    """rint(2^k exp(-scale d)) with a sum over all channels below 2^31."""
    bits = 30 - math.ceil(math.log2(channels)) if channels > 1 else 30
    return np.rint(2.0**bits * np.exp(-scale * np.arange(levels))).astype(np.int32)


def cases(target: Target) -> Iterator[Case]:
    """Integers with sums at the upper end, floats with an infinity."""
    for shape, dtypes in product(_SHAPES, _TYPES):
        yield _integer(shape, dtypes)
    yield _integer("pixels", ("u8", "u8"), sign=True)
    for shape, dtypes in product(("logits", "pixels", "one"), _TYPES):
        yield _integer(shape, dtypes, log=True)
    yield _integer("two", ("u8", "u8"), sign=True, log=True)
    for shape, log in product(_SHAPES, (False, True)):
        yield _float(shape, log)


def _layouts(shape: str, dtypes: tuple[str, str]) -> tuple[Layout, Layout]:
    n, h, w, c, src_stride, dst_stride = _SHAPES[shape]
    return Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1), Layout(n, h, w, c, dst_stride, dtypes[1], left=1, bottom=1)


def _integer(shape: str, dtypes: tuple[str, str], sign: bool = False, log: bool = False) -> Case:
    src, dst = _layouts(shape, dtypes)
    x = random_values(np.random.default_rng(0), src)
    x.reshape(-1)[: min(4, src.c)] = np.iinfo(x.dtype).max  # sums at the upper end
    levels, scale = (65536, 0.0002) if dtypes[0] == "i16" else (256, 0.03)
    values = {"x": x, "w": table(levels, src.c, scale), "s": np.array(_RESULTS[dtypes[1]], np.float32)}
    if log:
        bounds = {"u8": [9, -255, 0, 255], "i16": [2000, -32768, 32767, 0], "f32": [0, 0, 0, 0]}[dtypes[1]]
        values["s"] = np.array([*bounds, scale], np.float32)
        values["t"] = np.append(logarithms(), logarithm(values["w"][:1]))
    return Case(
        name=f"{shape}/{dtypes[0]}_{dtypes[1]}" + "/sign" * sign + "/log" * log,
        spec=SoftmaxSpec(src=src, dst=dst, sign=sign, log=log),
        memory=values | {"x": place(x, src), "o": blank(dst)},
        values=values,
        dst=dst,
    )


def _float(shape: str, log: bool) -> Case:
    src, dst = _layouts(shape, ("f32", "f32"))
    spec = SoftmaxSpec(src=src, dst=dst, log=log)
    x = random_values(np.random.default_rng(0), src) * 20
    x[0, 0, 0, 0] = -np.inf if src.c > 1 else 5
    # exp's 4e-7; c / 16 + 8 roundings of half an eps; the rounding of x - max, which exp makes relative
    distance = np.minimum(x.max(3, keepdims=True) - x, 1000)
    relative = 4e-7 + (src.c / 16 + 8 + distance) * 6e-8
    result = softmax(spec, x).astype(np.float64)
    if log:  # the sum's error of that many parts is the logarithm's, and three more roundings
        finite = np.where(np.isfinite(result), abs(result), 0)
        bound = 4e-7 + (src.c / 16 + 16) * 6e-8 + 3 * 6e-8 * finite
    else:
        bound = result * relative + 1e-44
    memory = {"x": place(x, src), "o": blank(dst)}
    return Case(name=f"{shape}/f32" + "/log" * log, spec=spec, memory=memory, values={"x": x}, dst=dst, bound=bound)
