"""Depthwise kernels at the limit of their instructions, and their tiles; kernels/depthwise_conv2d/cases.py has all else."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.depthwise_conv2d.cases import SHAPES, case_of, spec_of
from lowbit.kernels.depthwise_conv2d.tile import column_readers, tile_width
from lowbit.targets import TARGETS as ALL_TARGETS

from ..distinct_targets import distinct_targets
from ..harness import check_case


@pytest.mark.parametrize("target", distinct_targets("avx512vnni"), ids=lambda t: t.name)
def test_i16_pairs_of_most_negative_values(target):
    """-32768 * -32768 twice is 2^31, the one pair sum pmaddwd wraps; other taps bring the total back."""
    spec = spec_of("3x3", "i16i8")
    c = spec.dst.c
    x = np.full((spec.src.n, spec.src.hp, spec.src.wp, c), -32768, np.int16)
    w = np.zeros((3, 3, c), np.int64)
    w[0] = w[1] = -32768
    w[2] = 32767
    w[:, 1:] = 0
    s = np.array([*[3e-5] * c, -32768, 32767, 0, 1, 0, 1])
    check_case(case_of("pairs", spec, x, w, np.zeros(c, np.int64), s), target)


@pytest.mark.parametrize("target", ALL_TARGETS.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", ["u8i8", "i16i16", "f32"])
def test_tile_fits(shape, width, target):
    spec = spec_of(shape, width)
    pixels = tile_width(spec, target)
    assert 1 <= pixels <= min(spec.dst.w, 8)
    assert -(-spec.dst.w // pixels) * pixels < 2 * spec.dst.w


def test_column_readers_cover_every_tap_once():
    pairs = [pair for _, readers in column_readers(4, 3, 2, 2) for pair in readers]
    assert sorted(pairs) == [(pixel, tap) for pixel in range(4) for tap in range(3)]
    assert dict(column_readers(2, 3, 1, 1))[1] == [(0, 1), (1, 0)]
