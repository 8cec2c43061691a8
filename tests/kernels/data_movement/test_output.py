"""OutputSpec: dense results in every memory order, nothing written past their end."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import dequantized
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import OutputSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)

#        n  h  w   c   stride
CASES = {
    "logits": (2, 1, 1, 1000, 1008),
    "few": (3, 1, 1, 5, 16),
    "image": (1, 5, 21, 19, 32),
    "batch": (2, 3, 16, 35, 48),
    "one": (1, 1, 1, 1, 16),
}


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["u8", "i16", "f32"])
def test_output(target, case, order, dtype):
    src = Layout(*CASES[case], dtype, top=1, left=1)
    values = random_values(np.random.default_rng(0), src)
    s = np.array([1, -77, 0.0123], np.float32)
    want = values if dtype == "f32" else dequantized(values, s)
    axes = (0, 3, 1, 2) if order == "nchw" else (0, 1, 2, 3)
    out = aligned(np.zeros(want.transpose(axes).shape, np.float32))
    view = out.transpose(np.argsort(axes))
    spec = OutputSpec(src, tuple(v // 4 for v in view.strides))
    for lo, hi in ((0, spec.units // 3), (spec.units // 3, spec.units)):
        run_kernel(spec, target, lo, hi, x=place(values, src), s=aligned(s), o=out)
    np.testing.assert_array_equal(view, want)
    after = np.frombuffer(out.base if out.base.dtype == np.uint8 else out.base.base, np.uint8)
    end = out.ctypes.data + out.nbytes - after.ctypes.data
    np.testing.assert_array_equal(after[end : end + 64], 0xA5, "written past the end")
