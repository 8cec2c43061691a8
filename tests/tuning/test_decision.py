from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lowbit.kernels.conv2d.selection.decide import realize
from lowbit.kernels.conv2d.selection.decision import Decision, decision_of, key_of
from lowbit.kernels.conv2d.selection.select import choose, outcomes
from lowbit.targets import TARGETS
from tests.tuning.problems import SHAPE, decision, request, small

AVX2, VNNI = TARGETS["x86-64-v3"], TARGETS["x86-64-v4-vnni"]


def test_round_trip() -> None:
    problem, w = small()
    made = decision_of(choose(problem, w, AVX2))
    assert Decision.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    "change", [{"mr": "2"}, {"mr": True}, {"nr": 16.0}, {"form": 3}, {"more": 1}, {"algorithm": None}], ids=str
)
def test_what_is_no_decision(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a decision"):
        Decision.from_json({**decision().to_json(), **change})


def test_a_choice_comes_back_from_its_decision() -> None:
    problem, w = small(limit=60)
    for target in (AVX2, VNNI):
        chosen = choose(problem, w, target)
        again = realize(decision_of(chosen), problem, w, target)
        assert again is not None
        assert again.spec == chosen.spec
        assert again.packing.nbytes == chosen.packing.nbytes


def test_the_key_is_stable() -> None:
    """Databases that people have depend on this text."""
    assert request(VNNI).key == (
        "conv2d u8xi8 max=255 shift=0 sign=0 k=3x3 s=2x2 d=1x1 p=1x1 g=1 src=1x6x6x32/32u8+1,1,1,1 dst=1x3x3x48/48u8 res=none",
        "lut_shuffle_bits:-,bit_shuffle:-,lut_shuffle:-,u8_vnni_pairs:-,u8_vnni:1",
    )


def test_weights_enter_the_key_only_by_what_they_allow() -> None:
    problem, w = small(limit=60)
    key = key_of(problem, outcomes(problem, w, AVX2))
    other = np.flip(w, 0).copy()
    assert key_of(replace(problem, layer="elsewhere"), outcomes(problem, other, AVX2)) == key
    assert key_of(problem, outcomes(problem, w // 8, AVX2)) != key  # more steps fit a narrow sum
    assert key_of(problem, outcomes(problem, w // 8, VNNI)) == key_of(problem, outcomes(problem, w, VNNI))
    split = w.copy()
    split[3, 0, 0, :2] = 127
    assert key_of(problem, outcomes(problem, split, AVX2)).states["u8_split"] != "-"


@pytest.mark.parametrize(
    "shape",
    [
        replace(SHAPE, residual=True),
        replace(SHAPE, stride=(1, 1)),
        replace(SHAPE, halo=(1, 1, 1, 1)),
        replace(SHAPE, sign=True),
        replace(SHAPE, groups=2),
        replace(SHAPE, batch=2),
        replace(SHAPE, c=20),
        replace(SHAPE, dst="f32"),
    ],
    ids=lambda shape: str(shape)[:0],
)
def test_other_problems_have_other_keys(shape: object) -> None:
    assert request(VNNI, shape=shape).key != request(VNNI).key  # type: ignore[arg-type]
