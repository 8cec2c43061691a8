"""Resizes to try: larger, smaller, of one pixel, one tap and four, halos, batches, narrow pictures, every pair of types."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from lowbit.kernels.case import Case, blank, place, random_values, results
from lowbit.kernels.layout import Layout
from lowbit.kernels.resize.spec import ResizeSpec
from lowbit.targets import Target

__all__ = ["cases"]

#        n  h  w  c   src stride, dst stride, oh, ow, taps
_SHAPES = {
    "twice": (2, 5, 7, 64, 64, 64, 10, 14, (2, 2)),
    "smaller": (1, 9, 8, 20, 32, 48, 4, 3, (2, 2)),
    "one_row": (1, 1, 6, 16, 16, 16, 4, 13, (1, 2)),
    "cubic": (2, 6, 5, 17, 48, 32, 9, 11, (4, 4)),
    "narrow": (1, 4, 6, 3, 3, 16, 7, 5, (2, 2)),
    "wide_narrow": (1, 3, 4, 19, 19, 32, 5, 7, (2, 3)),
}
_PAIRS = (("u8", "u8"), ("i16", "i16"), ("f32", "f32"), ("u8", "i16"), ("i16", "u8"))


def cases(target: Target) -> Iterator[Case]:
    for shape, dtypes in product(_SHAPES, _PAIRS):
        yield _case(shape, dtypes)
    yield _case("twice", ("u8", "u8"), sign=True)


def _case(shape: str, dtypes: tuple[str, str], sign: bool = False) -> Case:
    n, h, w, c, src_stride, dst_stride, oh, ow, taps = _SHAPES[shape]
    src = Layout(n, h, w, c, src_stride, dtypes[0], top=1, right=1)
    dst = Layout(n, oh, ow, c, dst_stride, dtypes[1], left=1, bottom=2)
    rng, bits, real = np.random.default_rng(3), 15 if dtypes[0] == "i16" else 11, dtypes[0] == "f32"
    t = np.array(
        [k * (size - tap) // max(out - 1, 1) for size, out, tap in ((h, oh, taps[0]), (w, ow, taps[1])) for k in range(out)]
    )
    parts = [rng.uniform(-0.1 if tap > 2 else 0, 1, (out, tap)) for out, tap in ((oh, taps[0]), (ow, taps[1]))]
    parts = [part / np.abs(part).sum(1, keepdims=True) for part in parts]
    weights = np.concatenate([part.reshape(-1) for part in parts])
    held = weights.astype(np.float32) if real else np.floor(weights * 2**bits).astype(np.int32)
    x = random_values(rng, src)
    lo, hi, zero = results(dtypes[1])
    shift = -128.0 if sign else -3.0
    scale = {("i16", "u8"): 0.004, ("u8", "i16"): 90.7}.get(dtypes, 1.0) * 1.0137
    s = np.array([1.0, shift * 2 ** (2 * bits), lo, hi, zero, scale * 2.0 ** (-2 * bits)], np.float32)
    bound = 16 * 6e-8 * float(np.abs(x).max()) if real else 0.0
    spec = ResizeSpec(src=src, dst=dst, taps=taps, sign=sign, wide=dtypes[0] == "i16")
    memory = {"x": place(x, src), "t": t.astype(np.int32), "w": held, "s": s, "o": blank(dst)}
    values = {"x": x, "t": t, "w": held, "s": None if real else s}
    return Case(
        name=f"{shape}/{dtypes[0]}_{dtypes[1]}" + "/sign" * sign, spec=spec, memory=memory, values=values, dst=dst, bound=bound
    )
