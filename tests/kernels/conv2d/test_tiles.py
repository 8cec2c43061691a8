from __future__ import annotations

import pytest

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.cost import Tiling, Workload, fastest
from lowbit.kernels.layout import Layout
from lowbit.targets import TARGETS, Target


def best(form: str, target: Target, load: Workload) -> Tiling:
    return fastest(FORMS[form].tilings(load, target))


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda t: t.name)
@pytest.mark.parametrize(
    "dst", [Layout(1, 1, 1, 10, 16), Layout(1, 7, 7, 512, 512), Layout(2, 56, 56, 64, 64), Layout(1, 1, 5, 1000, 1008)]
)
def test_tiles_are_possible_and_units_cover_the_layer(target: object, dst: Layout) -> None:
    for form in FORMS.values():
        if not form.available(target) or not form.arithmetic:  # the others' tiles are none of vectors: test_amx.py
            continue
        t = fastest(form.tilings(Workload(dst, 64), target))
        assert 1 <= t.mr <= dst.pixels
        assert t.nr % 16 == 0 or dst.c % 16 == 0
        assert -(-dst.c // t.nr) * t.nr >= dst.stride  # every physical channel is written
        assert t.nr % form.cost(target).lanes(target) == 0
        assert t.mr == 1 or t.mr * t.nr // form.cost(target).lanes(target) <= target.registers
        assert t.m_tiles >= 1
        assert t.n_blocks >= 1


def test_large_layers_have_enough_units_and_small_ones_few() -> None:
    target = TARGETS["x86-64-v3"]
    big = best("u8_maddubs", target, Workload(Layout(1, 56, 56, 64, 64), 144, 3, linear=False))
    tiles, blocks = -(-56 * 56 // big.mr), -(-64 // big.nr)
    assert -(-tiles // big.m_tiles) * -(-blocks // big.n_blocks) >= 8
    small = best("u8_maddubs", target, Workload(Layout(1, 2, 2, 16, 16), 4, pitch=16))
    assert small.m_tiles * small.mr >= 4


def test_pixels_that_share_cache_sets_get_a_lower_tile() -> None:
    target, dst = TARGETS["x86-64-v4"], Layout(1, 14, 14, 256, 256)
    assert best("f32", target, Workload(dst, 256, pitch=4096)).mr < 8
    assert best("f32", target, Workload(dst, 256, pitch=4096 + 64)).mr > 8
