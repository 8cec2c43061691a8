"""PackFieldsSpec: every field lands where the definition puts it, halo included."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import packed_fields
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import PackFieldsSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import empty, physical


@pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 16, 31, 47, 48, 49, 64, 96, 97, 256])
@pytest.mark.parametrize("halo", [(0, 0, 0, 0), (1, 2, 1, 0)])
@pytest.mark.parametrize(("fields", "bits"), [(2, 2), (3, 2), (4, 1), (6, 1)])
def test_pack(target, channels, halo, fields, bits):
    stride, bytes_ = -(-channels // 16) * 16, -(-channels // fields)
    src = Layout(2, 3, 5, channels, stride, "u8", *halo)
    dst = Layout(2, 3, 5, bytes_, -(-bytes_ // 16) * 16, "u8", *halo)
    spec = PackFieldsSpec(src, dst, fields, bits)
    pixels = np.random.default_rng(0).integers(0, 2**bits, (2, src.hp, src.wp, stride)).astype(np.uint8)
    pixels[..., channels:] = 0xFF  # junk that must not reach a field
    x, out = aligned(pixels), empty(dst)
    for lo, hi in ((0, spec.units // 2), (spec.units // 2, spec.units)):
        run_kernel(spec, target, lo, hi, x=x, o=out)
    np.testing.assert_array_equal(physical(out, dst)[..., :bytes_], packed_fields(spec, pixels))


@pytest.mark.parametrize(
    ("fields", "bits", "values", "expected"),
    [
        (2, 2, (1, 3, 1), [1 << 4 | 1 << 6, 3 << 4]),
        (3, 2, (1, 3, 1), [1 << 2 | 1 << 4, 3 << 2]),
        (4, 1, (1, 0, 1, 1, 0), [1 << 4 | 1 << 5, 1 << 5]),
        (6, 1, (0, 1, 1), [1 << 3 | 1 << 4]),
    ],
)
def test_reference_order(fields, bits, values, expected):
    """Channel i + bytes * j at bit 8 - bits * fields + bits * j of byte i."""
    src, dst = Layout(1, 1, 1, len(values), 16), Layout(1, 1, 1, len(expected), 16)
    pixels = np.full((1, 1, 1, 16), 9, np.uint8)
    pixels[..., : len(values)] = values
    assert packed_fields(PackFieldsSpec(src, dst, fields, bits), pixels).tolist() == [[[expected]]]
