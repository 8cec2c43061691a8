from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.decide import realize
from lowbit.kernels.conv2d.selection.decision import decision_of
from lowbit.kernels.conv2d.selection.select import choose
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.cases import check
from tests.kernels.harness import runnable_targets
from tests.tuning.problems import decision, small

AVX2, VNNI = TARGETS["x86-64-v3"], TARGETS["x86-64-v4-vnni"]
PAIRS = [("u8", "i8", -127, 127, 255), ("u8", "i8", -70, 70, 255), ("u2", "i2", -2, 1, 3), ("f32", "f32", -3, 3, 0)]
SHAPES = [
    Shape(32, 48, 6, 6, kernel=(3, 3), padding=(1, 1, 1, 1), residual=True),
    Shape(64, 64, 3, 5, groups=4),
    Shape(40, 20, 1, 3),
]


@pytest.mark.parametrize("target", [AVX2, VNNI], ids=lambda t: t.name)
@pytest.mark.parametrize("limit", [1, 7, 40])
def test_the_models_choice_is_first_and_all_are_different(target: Target, limit: int) -> None:
    problem, w = small()
    found = candidates(problem, w, target, limit)
    assert found[0] == decision_of(choose(problem, w, target))
    assert len(set(found)) == len(found) <= limit
    if limit == 40:
        assert len(found) > 15
        assert len({(d.m_tiles, d.n_blocks) for d in found}) > 3
        assert len({(d.mr, d.nr) for d in found}) > 5


@pytest.mark.parametrize("target", [*runnable_targets()[-1:], AVX2], ids=lambda t: t.name)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}{pair[1]}{pair[3]}")
@pytest.mark.parametrize("shape", SHAPES, ids=["3x3", "groups", "linear"])
def test_candidates_are_admissible_and_compute_the_convolution(
    target: Target, pair: tuple[str, str, int, int, int], shape: Shape
) -> None:
    if target not in runnable_targets():
        pytest.skip(f"this CPU does not run {target.name}")
    act, weight, low, high, act_max = pair
    rng = np.random.default_rng(1)
    w = rng.integers(low, high + 1, shape.weight_shape)
    w = w.astype(np.float32) if act == "f32" else w
    problem = shape.problem(act, weight, act_max, "f32" if act == "f32" else "u8")
    found = candidates(problem, w, target)
    choices = [realize(d, problem, w, target) for d in found]
    assert None not in choices
    assert [decision_of(c) for c in choices if c is not None] == found
    if shape.kernel == (3, 3):
        assert len({d.algorithm for d in found}) > 1
    each = {(d.algorithm, d.form): index for index, d in enumerate(found)}  # the last of each
    for index in {*each.values(), *rng.choice(len(found), 2, replace=False)}:
        choice = choices[index]
        assert choice is not None
        check(problem, choice, w, target)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (decision(algorithm="magic"), "no such algorithm"),
        (decision(form="u8_magic"), "no such form"),
        (decision(form="bit_popcount"), "weights are no bits"),
        (decision(form="f32"), "weights are no floats"),
        (decision(mr=15, nr=64), "more accumulators than registers"),
        (decision(mr=0), "no pixels"),
        (decision(nr=24), "no whole vectors"),
        (decision(algorithm="winograd4"), "stride 2"),
        (replace(decision(), m_tiles=0), "no tiles"),
        (replace(decision(), m_tiles=6), "more tiles than there are"),
        (replace(decision(), n_blocks=4), "more blocks than there are"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_admissible(wrong: object, why: str) -> None:
    problem, w = small()
    assert realize(decision(), problem, w, VNNI) is not None
    assert realize(wrong, problem, w, VNNI) is None, why  # type: ignore[arg-type]


def test_the_weights_must_allow_it() -> None:
    maddubs = decision(form="u8_maddubs")
    assert realize(maddubs, *small(limit=60), AVX2) is not None
    assert realize(maddubs, *small(limit=127), AVX2) is None  # a pair of products leaves int16
    assert realize(decision(form="u8_vnni"), *small(), AVX2) is None  # not on this CPU
