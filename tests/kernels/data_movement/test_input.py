"""InputSpec: every memory order of the user's tensor, and the values that saturate."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import stored_input
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import InputSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import empty, inner, physical

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)
HALO = {"top": 1, "left": 2, "bottom": 1, "right": 1}
SCALES = {"u8": [0.02, -100, 155, 100], "i16": [0.0001, -32768, 32767, 0], "f32": [0, 0, 0, 0]}

#        n  h   w   c   stride
CASES = {
    "image": (1, 4, 35, 3, 3),
    "image_padded": (2, 3, 16, 3, 4),
    "image_16": (1, 3, 17, 3, 16),
    "two_channels": (1, 2, 48, 2, 2),
    "grey": (2, 3, 28, 1, 1),
    "small": (2, 3, 5, 3, 3),
    "deep": (1, 3, 5, 35, 48),
    "features": (3, 1, 1, 37, 48),
    "features_16": (2, 1, 1, 64, 64),
    "few_features": (2, 1, 1, 5, 16),
}


def user_tensor(layout: Layout, order: str) -> np.ndarray:
    """Normal values with every kind of extreme, (n, h, w, c), held in memory as ``order`` says."""
    shape = (layout.n, layout.h, layout.w, layout.c)
    x = np.random.default_rng(0).normal(0, 1.5, shape).astype(np.float32)
    extremes = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -0.0, 0.01, -0.01, 0.03], np.float32)
    x.reshape(-1)[: min(10, x.size)] = extremes[: min(10, x.size)]
    axes = {"nchw": (0, 3, 1, 2), "nhwc": (0, 1, 2, 3), "nwhc": (0, 2, 1, 3)}[order]
    back = np.argsort(axes)
    return np.ascontiguousarray(x.transpose(axes)).transpose(back)


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["nchw", "nhwc", "nwhc"])
@pytest.mark.parametrize("dtype", ["u8", "i16", "f32", "sign"])
def test_input(target, case, order, dtype):
    sign = dtype == "sign"
    dst = Layout(*CASES[case], "u8" if sign else dtype, **HALO)
    x = user_tensor(dst, order)
    spec = InputSpec(dst, tuple(v // 4 for v in x.strides), sign)
    s = aligned(np.array(SCALES[dst.dtype], np.float32))
    base = x.base if x.base is not None else x
    out = empty(dst)
    before = physical(out, dst).copy()
    for lo, hi in ((0, spec.units // 2), (spec.units // 2, spec.units)):
        run_kernel(spec, target, lo, hi, x=base, s=s, o=out)
    want = stored_input(spec, x, s)
    np.testing.assert_array_equal(inner(out, dst), want)
    inner(before, dst)[...] = want
    np.testing.assert_array_equal(physical(out, dst), before)


def test_reference_sends_nan_to_the_lowest_value():
    spec = InputSpec(Layout(1, 1, 1, 1, 1), (1, 1, 1, 1))
    x = np.full((1, 1, 1, 1), np.nan, np.float32)
    assert stored_input(spec, x, np.array([1, -3, 4, 3], np.float32)).item() == 0
