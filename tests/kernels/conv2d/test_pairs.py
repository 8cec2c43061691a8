"""Two products in one multiplication: the identity, what fits a byte, the kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.kernels.conv2d.cases import Shape, forced
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.pairs import pair_constants, pair_offsets
from lowbit.kernels.conv2d.selection.select import choose, option
from lowbit.kernels.data_movement.spec import WordRole, word_roles
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.cases import check
from tests.kernels.harness import runnable_targets

SHAPES = [
    Shape(16, 33, 3, 5),
    Shape(48, 80, 3, 4, batch=2),
    Shape(144, 16, 4, 4, kernel=(1, 2)),
    Shape(40, 48, 9, 7),
    Shape(17, 33, 8, 11, batch=2, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1), residual=True),
    Shape(64, 64, 5, 13, kernel=(3, 3), padding=(1, 1, 1, 1), sign=True),
    Shape(130, 32, 6, 6, kernel=(2, 3), dilation=(2, 1), dst="f32"),
]
KINDS = [
    ("u8_vnni_pairs", "u4", "i4", -8, 7, 15),
    ("u8_vnni_pairs", "u7", "i7", -64, 63, 127),
    ("i16_maddwd_pairs", "u8", "i8", -128, 127, 255),
]


@given(
    st.lists(st.integers(0, 127), min_size=48, max_size=48),
    st.lists(st.integers(-64, 63), min_size=48, max_size=48),
    st.booleans(),
)
def test_the_identity(x: list[int], w: list[int], mixed: bool) -> None:
    offsets = pair_offsets(np.array([-64, 63]), 127)
    assert offsets == (64, 63)
    first, second = offsets
    inputs, weights = np.reshape(x, (12, 4)), np.reshape(w, (12, 4))
    roles = word_roles(12, mixed)
    starts = [word for word, role in enumerate(roles) if role is WordRole.A]
    alone = [word for word, role in enumerate(roles) if role is WordRole.ALONE]
    assert sorted([*starts, *(word + 1 for word in starts), *alone]) == list(range(12))
    assert len(alone) == (4 if mixed else 0)
    a, b = inputs[starts], inputs[[word + 1 for word in starts]]
    u, v = weights[starts], weights[[word + 1 for word in starts]]
    left, right = a + first + v, b - second + u
    assert left.min() >= 0
    assert left.max() <= 255
    assert right.min() >= -128
    assert right.max() <= 127
    pixel = ((a + first) * (b - second)).sum()
    channel = pair_constants(np.reshape(w, (1, 1, 1, 48)), 4, first, second, mixed)[0]
    assert (left * right).sum() + (inputs[alone] * weights[alone]).sum() - pixel - channel == np.dot(x, w)


@pytest.mark.parametrize(
    ("low", "high", "act_max", "offsets"),
    [
        (-8, 7, 15, (8, 0)),
        (-64, 63, 127, (64, 63)),
        (-64, 64, 127, (64, 64)),
        (-64, 65, 127, None),
        (0, 0, 255, (0, 128)),
        (-8, 7, 255, None),
    ],
)
def test_what_fits_a_byte(low: int, high: int, act_max: int, offsets: tuple[int, int] | None) -> None:
    assert FORMS["u8_vnni_pairs"].offsets(np.array([low, high]), act_max) == offsets
    assert FORMS["i16_maddwd_pairs"].offsets(np.array([low, high]), act_max) == (0, 0)


@pytest.mark.parametrize("target", runnable_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k[0]}-{k[1]}{k[2]}")
def test_kernels_are_exact(target: Target, kind: tuple[str, str, str, int, int, int]) -> None:
    name, act, weight, low, high, act_max = kind
    form = FORMS[name]
    if not form.available(target):
        pytest.skip(f"{target.name} has no {name}")
    for shape in SHAPES:
        w = np.random.default_rng(0).integers(low, high + 1, shape.weight_shape)
        w.flat[0], w.flat[-1] = low, high
        problem = shape.problem(act, weight, act_max)
        choice = option(form, problem, w, target)
        assert choice is not None
        check(problem, choice, w, target, pad=2)
        largest = np.full((problem.src.n, problem.src.h, problem.src.w, problem.src.c), act_max)
        check(problem, forced(problem, w, name, (3, 16), 1), w, target, x=largest, pad=act_max)


def test_when_they_are_chosen() -> None:
    shape = Shape(256, 256, 14, 14)
    w = np.random.default_rng(0).integers(-64, 64, shape.weight_shape)
    target = TARGETS["x86-64-v4-vnni"]
    assert choose(shape.problem("u7", "i7", 127), w, target).spec.form == "u8_vnni_pairs"
    assert choose(shape.problem("u8", "i7", 255), w, target).spec.form == "u8_vnni"
    w[:, 0, 0, :2] = 127  # every step of every channel is unsafe: none can stay bytes
    assert choose(shape.problem("u8", "i8", 255), np.abs(w) * 2 % 128, TARGETS["x86-64-v3"]).spec.form == "i16_maddwd_pairs"
