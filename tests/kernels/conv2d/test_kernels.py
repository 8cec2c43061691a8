"""Forms at the limits of their proofs; kernels/conv2d/cases.py has every one of them on every shape."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.conv2d.cases import Shape, forced, operands
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.pack import weight_blocks
from lowbit.kernels.conv2d.selection.exactness import maddubs_depth
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.cases import check
from tests.kernels.harness import runnable_targets


@pytest.mark.parametrize("target", [t for t in runnable_targets() if "avx2" in t.features], ids=lambda t: t.name)
@pytest.mark.parametrize(
    ("depth", "limit", "channels"), [(1, 64, 37), (2, 32, 40), (3, 21, 100), (8, 8, 130), (32, 2, 300), (0, 4, 60)]
)
def test_maddubs_depths_at_their_limit(target: Target, depth: int, limit: int, channels: int) -> None:
    shape = Shape(channels, 32, 2, 3)
    rng = np.random.default_rng(depth)
    w = rng.integers(-limit, limit + 1, shape.weight_shape)
    w[0], w[1] = -limit, limit
    problem = shape.problem("u8", "i8", 255)
    choice = forced(problem, w, "u8_maddubs", (3, 16), depth)
    proven = maddubs_depth(weight_blocks(w.reshape(32, -1), choice.packing), 255)
    assert proven == 0 if depth == 0 else proven is not None
    x = rng.integers(0, 256, (1, 2, 3, channels))
    x[0, 0] = 255
    check(problem, choice, w, target, x=x)


def test_maddubs_beyond_the_proof_saturates() -> None:
    """The bound is tight: one more, and the instruction loses the sum."""
    shape = Shape(8, 16, 1, 4)
    w = np.full(shape.weight_shape, 65)
    problem = shape.problem("u8", "i8", 255)
    choice = forced(problem, w, "u8_maddubs", (4, 16), 1)
    assert maddubs_depth(weight_blocks(w.reshape(16, -1), choice.packing), 255) is None
    with pytest.raises(AssertionError, match="differ"):
        check(problem, choice, w, TARGETS["x86-64-v3"], x=np.full((1, 1, 4, 8), 255))


@pytest.mark.parametrize("target", runnable_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("form", ["i16_maddwd", "i16_vnni", "i16_portable"])
@pytest.mark.parametrize(
    ("src", "weight", "limit", "parts"),
    [("i16", "i8", 127, 1), ("i16", "i16", 2000, 1), ("i16", "i16", 32767, 2), ("u8", "i16", 32767, 1)],
)
def test_sixteen_bits(target: Target, form: str, src: str, weight: str, limit: int, parts: int) -> None:
    if not FORMS[form].available(target):
        pytest.skip(f"{target.name} has no {form}")
    shape = Shape(150, 20, 3, 4, kernel=(1, 2), padding=(0, 1, 0, 0), dst="i16", residual=True)
    rng = np.random.default_rng(limit)
    w = rng.integers(-limit, limit + 1, shape.weight_shape)
    w[0], w[1] = -limit, limit
    top = 32767 if src == "i16" else 255
    problem = shape.problem("i16" if src == "i16" else "u8", weight, top, src)
    x = rng.integers(-top if src == "i16" else 0, top + 1, (1, 3, 4, 150))
    x[0, 0] = top
    check(problem, forced(problem, w, form, (2, 16), parts=parts), w, target, x=x)


SPLIT_SHAPES = [
    Shape(24, 40, 5, 4),
    Shape(3, 16, 9, 9, kernel=(3, 3), padding=(1, 1, 1, 1), stride=(2, 2), dense=True),
    Shape(12, 17, 5, 5, kernel=(3, 3), dilation=(2, 2), padding=(2, 2, 2, 2)),
]


@pytest.mark.parametrize("target", [t for t in runnable_targets() if "avx2" in t.features], ids=lambda t: t.name)
@pytest.mark.parametrize("shape", SPLIT_SHAPES)
def test_split_is_exact_for_every_int8(target: Target, shape: Shape) -> None:
    rng = np.random.default_rng(5)
    w = rng.choice([-128, -127, -100, 0, 3, 100, 127], shape.weight_shape)
    problem = shape.problem("u8", "i8", 255)
    choice = forced(problem, w, "u8_split", (3, 32))
    assert 0.2 < choice.split <= 1
    check(problem, choice, w, target, x=np.full((1, shape.h, shape.w, shape.c), 255))
    check(problem, choice, w, target)


@pytest.mark.parametrize("target", runnable_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("groups", [2, 4, 12])
def test_groups(target: Target, groups: int) -> None:
    shape = Shape(48, 24, 5, 5, kernel=(3, 3), padding=(1, 1, 1, 1), groups=groups)
    w = np.random.default_rng(groups).integers(-64, 64, shape.weight_shape)
    for form in ("u8_maddubs", "u8_vnni", "u8_portable", "i16_maddwd"):
        if FORMS[form].available(target):
            problem = shape.problem("u8", "i8", 255)
            check(problem, forced(problem, w, form, (4, 16)), w, target)
    problem = shape.problem("f32", "f32", 0, "f32")
    check(problem, forced(problem, w.astype(np.float32), "f32", (4, 16)), w.astype(np.float32), target)


@pytest.mark.parametrize("target", [t for t in runnable_targets() if "avx2" in t.features], ids=lambda t: t.name)
@pytest.mark.parametrize("form", ["lut_permute", "lut_shuffle"])
@pytest.mark.parametrize("kind", ["worst", "sparse", "negative", "positive"])
def test_look_up_sums_at_their_limits(target: Target, form: str, kind: str) -> None:
    """Bytes reach 0 and 255 - range and 16-bit words wrap many times in a K of 5000; the halo is not 0."""
    if not FORMS[form].available(target):
        pytest.skip(f"{target.name} has no {form}")
    shape = Shape(555, 80, 3, 4, kernel=(3, 3), padding=(1, 1, 1, 1))
    rng = np.random.default_rng(6)
    w = {
        "worst": np.where(np.arange(shape.weight_shape[0]) % 2, 1, -2)[:, None, None, None] * np.ones(shape.weight_shape, int),
        "sparse": rng.choice([-2, 0, 0, 0, 1], shape.weight_shape),
        "negative": np.full(shape.weight_shape, -2),
        "positive": np.full(shape.weight_shape, 1),
    }[kind]
    problem = shape.problem("u2", "i2", 3)
    x = rng.integers(0, 4, (1, 3, 4, 555))
    x[0, :2] = 3
    check(problem, forced(problem, w, form, (3, 64)), w, target, x=x, pad=2)


@pytest.mark.parametrize("target", [t for t in runnable_targets() if "avx2" in t.features], ids=lambda t: t.name)
@pytest.mark.parametrize("kind", ["random", "low", "high", "both"])
def test_look_up_of_bits_at_its_limits(target: Target, kind: str) -> None:
    """Bytes reach 0 and 255 - range, words wrap in a K of 5000, and depths are those of the worst channels."""
    shape = Shape(555, 70, 3, 4, kernel=(3, 3), padding=(1, 1, 1, 1))
    w = operands(FORMS["bit_shuffle"]).weights(shape, "random" if kind == "both" else kind)
    if kind == "both":
        w[0], w[1] = -1, 1
    problem = shape.problem("u1", "b1", 1)
    x = np.random.default_rng(7).integers(0, 2, (1, 3, 4, 555))
    x[0, :2] = 1
    check(problem, forced(problem, w, "lut_shuffle_bits", (3, 64)), w, target, x=x, pad=1)
