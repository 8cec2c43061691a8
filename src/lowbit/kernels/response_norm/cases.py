"""Local response norms to try: windows wider than the channels, odd and even ones, powers of few and of many roots."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from lowbit.kernels.case import Case, blank, place, random_values, results
from lowbit.kernels.layout import Layout
from lowbit.kernels.response_norm.reference import response_norm
from lowbit.kernels.response_norm.spec import ResponseNormSpec
from lowbit.targets import Target

__all__ = ["cases"]

#        n  h  w   c  src stride, dst stride, size, beta
_SHAPES = {
    "five": (2, 3, 5, 40, 48, 64, 5, 0.75), "even": (1, 2, 3, 19, 32, 32, 4, 0.5), "wide": (1, 1, 2, 3, 16, 16, 9, 1.0),
    "odd_power": (1, 2, 2, 16, 16, 16, 3, 0.62), "one": (1, 1, 1, 1, 16, 16, 1, 2.25), "none": (1, 1, 2, 20, 32, 32, 3, 0.0),
}  # fmt: skip
_TYPES = (("u8", "u8"), ("i16", "i16"), ("u8", "i16"), ("i16", "u8"), ("f32", "f32"))


def cases(target: Target) -> Iterator[Case]:
    for shape, dtypes in product(_SHAPES, _TYPES):
        yield _case(shape, dtypes)
    yield _case("five", ("u8", "u8"), sign=True)


def _case(shape: str, dtypes: tuple[str, str], sign: bool = False) -> Case:
    n, h, w, c, src_stride, dst_stride, size, beta = _SHAPES[shape]
    src, dst = Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1), Layout(n, h, w, c, dst_stride, dtypes[1], left=1)
    x = random_values(np.random.default_rng(6), src)
    x = x & 1 if sign else x
    reach = {"u8": 100.0, "i16": 15000.0, "f32": 1.0}
    r = np.array([1.3, 2.0 / (reach[dtypes[0]] ** 2)])
    s = None
    if dtypes[0] != "f32":
        scalars = (2.0, -1.0) if sign else (1.0, -120.0 if dtypes[0] == "u8" else 5.0)
        s = np.array([*scalars, *results(dtypes[1]), 1.7 * reach[dtypes[1]] / reach[dtypes[0]]], np.float32)
    spec = ResponseNormSpec(src=src, dst=dst, size=size, power=round(beta * 2**24), sign=sign)
    values: dict[str, Any] = {"x": x, "r": r, "s": s}
    bound = 3e-7 * np.abs(response_norm(spec, **values)) if s is None else 0.0
    memory = {"x": place(x, src), "r": r, "o": blank(dst)} | ({} if s is None else {"s": s})
    name = f"{shape}/{dtypes[0]}_{dtypes[1]}" + "/sign" * sign
    return Case(name=name, spec=spec, memory=memory, values=values, dst=dst, bound=bound)
