from __future__ import annotations

import pytest

from lowbit.kernels.conv2d.tiles import choose_tiling, form_lanes
from lowbit.kernels.forms import FORMS
from lowbit.kernels.layout import Layout
from lowbit.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda t: t.name)
@pytest.mark.parametrize(
    "dst", [Layout(1, 1, 1, 10, 16), Layout(1, 7, 7, 512, 512), Layout(2, 56, 56, 64, 64), Layout(1, 1, 5, 1000, 1008)]
)
def test_tiles_are_possible_and_units_cover_the_layer(target: object, dst: Layout) -> None:
    for form in FORMS.values():
        if not form.available(target):
            continue
        t = choose_tiling(form.name, target, dst, 64, 1, 64, True, 1, 1, False)
        assert 1 <= t.mr <= dst.pixels
        assert t.nr % 16 == 0 or dst.c % 16 == 0
        assert -(-dst.c // t.nr) * t.nr >= dst.stride  # every physical channel is written
        assert t.nr % form_lanes(form.name, target) == 0
        assert t.mr == 1 or t.mr * t.nr // form_lanes(form.name, target) <= target.registers
        assert t.m_tiles >= 1
        assert t.n_blocks >= 1


def test_large_layers_have_enough_units_and_small_ones_few() -> None:
    target = TARGETS["x86-64-v3"]
    big = choose_tiling("u8_maddubs", target, Layout(1, 56, 56, 64, 64), 144, 3, 64, False, 1, 1, False)
    tiles, blocks = -(-56 * 56 // big.mr), -(-64 // big.nr)
    assert -(-tiles // big.m_tiles) * -(-blocks // big.n_blocks) >= 8
    small = choose_tiling("u8_maddubs", target, Layout(1, 2, 2, 16, 16), 4, 1, 16, True, 1, 1, False)
    assert small.m_tiles * small.mr >= 4


def test_pixels_that_share_cache_sets_get_a_lower_tile() -> None:
    target, dst = TARGETS["x86-64-v4"], Layout(1, 14, 14, 256, 256)
    assert choose_tiling("f32", target, dst, 256, 1, 4096, True, 1, 1, False).mr < 8
    assert choose_tiling("f32", target, dst, 256, 1, 4096 + 64, True, 1, 1, False).mr > 8
