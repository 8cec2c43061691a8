"""PackBitsSpec: every bit lands where numpy puts it, halo included."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import packed
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import PackBitsSpec
from lowbit.targets import Target

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import empty, physical

# a machine without SSE2 takes the portable multiplication; its code runs here as well
PORTABLE = Target("portable", "x86_64-linux-gnu", "x86-64", frozenset(), 16, 16, 32768, 262144, "x86-64")
TARGETS = pytest.mark.parametrize("target", [*distinct_targets(), PORTABLE], ids=lambda t: t.name)


@TARGETS
@pytest.mark.parametrize("channels", [1, 8, 16, 31, 32, 33, 48, 64, 100, 256])
@pytest.mark.parametrize("halo", [(0, 0, 0, 0), (1, 2, 1, 0)])
def test_pack(target, channels, halo):
    stride = -(-channels // 16) * 16
    src = Layout(2, 3, 5, channels, stride, "u8", *halo)
    dst = Layout(2, 3, 5, channels, 4 * -(-channels // 32), "bits", *halo)
    spec = PackBitsSpec(src, dst)
    pixels = np.random.default_rng(0).integers(0, 2, (2, src.hp, src.wp, stride)).astype(np.uint8)
    pixels[..., channels:] = 0xFF  # junk that must not reach a bit
    x, out = aligned(pixels), empty(dst)
    for lo, hi in ((0, spec.units // 2), (spec.units // 2, spec.units)):
        run_kernel(spec, target, lo, hi, x=x, o=out)
    np.testing.assert_array_equal(physical(out, dst), packed(spec, pixels))


def test_reference_bit_order():
    src, dst = Layout(1, 1, 1, 9, 16), Layout(1, 1, 1, 9, 4, "bits")
    pixels = np.zeros((1, 1, 1, 16), np.uint8)
    pixels[..., [0, 3, 8, 9]] = 1  # channel 9 is not part of the tensor
    assert packed(PackBitsSpec(src, dst), pixels).tolist() == [[[[0b1001, 1, 0, 0]]]]
