"""BinarySpec rounds as it says; kernels/elementwise/cases.py has all else."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.elementwise.reference import binary
from lowbit.kernels.elementwise.spec import BinarySpec
from lowbit.kernels.layout import Layout

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import place

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


@TARGETS
def test_addition_rounds_each_product(target):
    """A fused multiply-add differs from the contract on some of these 65536 pairs of bytes."""
    layout = Layout(1, 16, 16, 256, 256)
    spec = BinarySpec(fn="add", src=layout, other=layout, dst=layout)
    x, r = (v.reshape(1, 16, 16, 256).astype(np.uint8) for v in np.divmod(np.arange(65536), 256))
    differences = 0
    for seed in range(8):
        mx, mr = np.random.default_rng(seed).uniform(0.2, 0.6, 2).astype(np.float32)
        s = np.array([1, 0, mx, 1, 0, mr, 0, 255, 0], np.float32)
        got = run_in_pieces(spec, target, layout, x=place(x, layout), r=place(r, layout), s=s)
        np.testing.assert_array_equal(got, binary(spec, s, x, r))
        fused = np.float64(x) * np.float64(mx) + np.float32(np.float32(r) * mr)
        differences += int((np.clip(np.rint(fused), 0, 255) != got).sum())
    assert differences > 0
