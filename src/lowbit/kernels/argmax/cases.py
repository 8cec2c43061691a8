"""Positions to try: one channel to a thousand, ties, NaN, values at both ends of their types."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.kernels.argmax.spec import ArgmaxSpec
from lowbit.kernels.case import Case, blank, place, random_values
from lowbit.kernels.layout import Layout
from lowbit.targets import Target

__all__ = ["cases"]

#        n  h  w   c   stride
_SHAPES = {
    "logits": (2, 1, 1, 1000, 1008), "pixels": (2, 3, 5, 19, 32), "two": (1, 4, 3, 2, 16), "one": (1, 1, 1, 1, 16),
    "sixteen": (1, 2, 2, 16, 16),
}  # fmt: skip


def cases(target: Target) -> Iterator[Case]:
    """Largest and smallest of every type, with few distinct values, so that most pixels have ties, and with many."""
    for shape, dtype, least, ties in product(_SHAPES, ("u8", "i16", "f32"), (False, True), (False, True)):
        yield _case(shape, dtype, least, ties)


def _case(shape: str, dtype: str, least: bool, ties: bool) -> Case:
    n, h, w, c, stride = _SHAPES[shape]
    src = Layout(n, h, w, c, stride, dtype, top=1, right=1)
    dst = Layout(n, h, w, 1, 16, "i32", left=1)
    x = random_values(np.random.default_rng(3), src)
    if ties:
        x = (np.rint(x) if dtype == "f32" else x // 100).astype(x.dtype)
    elif dtype == "f32":
        x.reshape(-1, c)[::2, c // 2 :] = np.nan
    x.reshape(-1)[-1] = np.finfo(np.float32).max if dtype == "f32" else np.iinfo(x.dtype).max
    name = f"{'least' if least else 'largest'}/{shape}/{dtype}" + "/ties" * ties
    memory = {"x": place(x, src), "o": blank(dst)}
    return Case(name=name, spec=ArgmaxSpec(src=src, dst=dst, least=least), memory=memory, values={"x": x}, dst=dst)
