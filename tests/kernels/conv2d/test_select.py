"""What is chosen, and that what is chosen computes the convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.problem import Choice
from lowbit.kernels.conv2d.selection.select import choose, describe
from lowbit.kernels.data_movement.spec import PackFieldsSpec
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.cases import check
from tests.kernels.harness import runnable_targets

MIDDLE = Shape(128, 128, 28, 28, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))


def weights(shape: Shape, low: int, high: int) -> np.ndarray:
    w = np.random.default_rng(0).integers(low, high + 1, shape.weight_shape)
    w[0], w[-1] = low, high
    return w


@pytest.mark.parametrize(
    ("target", "act", "weight", "limit", "act_max", "form", "depth"),
    [
        ("x86-64-v4-vnni", "u8", "i8", 127, 255, "u8_vnni", 1),
        ("x86-64-v3-vnni", "u8", "i8", 127, 255, "u8_vnni", 1),
        ("x86-64-v3", "u8", "i7", 63, 255, "u8_maddubs", 1),
        ("x86-64-v3", "u8", "i6", 32, 255, "u8_maddubs", 2),
        ("x86-64-v3", "u8", "i4", 8, 255, "u8_maddubs", 8),
        ("x86-64-v3", "u2", "i2", 2, 3, "u8_maddubs", 0),
        ("x86-64-v4", "u7", "i7", 63, 127, "u8_maddubs", 2),
        ("x86-64", "u8", "i8", 127, 255, "i16_maddwd", 0),
    ],
)
def test_table_of_choices(target: str, act: str, weight: str, limit: int, act_max: int, form: str, depth: int) -> None:
    choice = choose(MIDDLE.problem(act, weight, act_max), weights(MIDDLE, -limit, limit), TARGETS[target])
    assert (choice.spec.form, choice.spec.depth) == (form, depth)
    assert choice.spec.units >= 8
    assert choice.pack is None


def test_few_unsafe_steps_are_split_and_many_are_not() -> None:
    w = weights(MIDDLE, -60, 60)
    problem = MIDDLE.problem("u8", "i8", 255)
    w[3, 0, 0, :2] = 127
    choice = choose(problem, w, TARGETS["x86-64-v3"])
    assert choice.spec.form == "u8_split"
    assert 0 < choice.split < 0.05
    assert len(choice.table) == choice.spec.blocks + 1 + len(choice.packing.entries)
    dense = choose(problem, weights(MIDDLE, -127, 127), TARGETS["x86-64-v3"])
    assert dense.spec.form in ("i16_maddwd", "i16_maddwd_pairs")


NO_PACKING = Shape(3, 16, 30, 30, kernel=(3, 3))


def one_bit(shape: Shape, target: str, w: np.ndarray | None = None) -> Choice:
    w = 2 * weights(shape, 0, 1) - 1 if w is None else w
    return choose(shape.problem("b1", "b1", 1, acc_shift=1), w, TARGETS[target])


def test_bits_are_counted_where_one_instruction_does() -> None:
    target, w = "x86-64-v4-vnni-popcnt", 2 * weights(MIDDLE, 0, 1) - 1
    choice = one_bit(MIDDLE, target, w)
    assert choice.spec.form == "bit_popcount"
    assert choice.pack is not None
    assert choice.spec.src == replace(MIDDLE.problem("b1", "b1", 1).src, dtype="bits", stride=16)
    assert (choice.bias_offset == 2 * (w > 0).sum((1, 2, 3))).all()
    assert not one_bit(NO_PACKING, target).pack


@pytest.mark.parametrize("target", ["x86-64-v4-vnni", "x86-64-v4", "x86-64-v3-vnni", "x86-64-v3"])
def test_bits_are_looked_up_elsewhere(target: str) -> None:
    problem, choice = MIDDLE.problem("b1", "b1", 1, acc_shift=1), one_bit(MIDDLE, target)
    assert choice.spec.form == "lut_shuffle_bits"
    assert choice.spec.src == replace(problem.src, c=32, stride=32)
    assert choice.pack == PackFieldsSpec(src=problem.src, dst=choice.spec.src, fields=4, bits=1)
    assert (choice.packing.element, choice.packing.bits) == ("index", 1)
    assert not choice.bias_offset.any()
    assert not one_bit(NO_PACKING, target).pack


def test_bits_whose_sums_leave_int16_are_not_looked_up() -> None:
    shape = Shape(33000, 64, 2, 2)
    assert one_bit(shape, "x86-64-v3", np.ones(shape.weight_shape, int)).spec.form == "bit_shuffle"


def test_weights_of_one_bit_that_may_be_zero_are_looked_up_as_two() -> None:
    problem, w = MIDDLE.problem("u1", "i2", 1), weights(MIDDLE, -1, 1)
    assert choose(problem, w, TARGETS["x86-64-v3"]).spec.form == "lut_shuffle"
    assert choose(problem, np.where(w == 0, 1, w), TARGETS["x86-64-v3"]).spec.form == "lut_shuffle_bits"


@pytest.mark.parametrize(
    ("target", "form", "fields"),
    [("x86-64-v4-vnni-popcnt", "lut_permute", 3), ("x86-64-v4-vnni", "lut_shuffle", 2), ("x86-64-v3", "lut_shuffle", 2)],
)
def test_two_bits_are_looked_up_where_it_pays(target: str, form: str, fields: int) -> None:
    problem = MIDDLE.problem("u2", "i2", 3)
    choice = choose(problem, weights(MIDDLE, -2, 1), TARGETS[target])
    channels = -(-128 // fields)
    assert choice.spec.form == form
    assert choice.spec.src == replace(problem.src, c=channels, stride=-(-channels // 16) * 16)
    assert (choice.pack.src, choice.pack.dst, choice.pack.fields) == (problem.src, choice.spec.src, fields)
    assert choice.packing.element == "index"
    one = choose(MIDDLE.problem("u2", "b1", 3), 2 * weights(MIDDLE, 0, 1) - 1, TARGETS[target])
    assert one.spec.form == form  # -1 and 1 are two-bit weights as well


@pytest.mark.parametrize("target", ["x86-64-v4-vnni-popcnt", "x86-64-v3", "x86-64"])
@pytest.mark.parametrize(
    ("shape", "act_max", "low", "high"),
    [
        (Shape(64, 16, 14, 14), 3, -2, 1),  # a vector of bytes holds 32 or 64 outputs
        (replace(MIDDLE, groups=2), 3, -2, 1),
        (MIDDLE, 4, -2, 1),
        (MIDDLE, 3, -2, 2),
        (Shape(6000, 64, 3, 3), 3, -2, -2),  # sums beyond int16
    ],
)
def test_two_bits_that_are_not_looked_up(target: str, shape: Shape, act_max: int, low: int, high: int) -> None:
    choice = choose(shape.problem("u2", "i2", act_max), weights(shape, low, high), TARGETS[target])
    assert choice.spec.form.startswith(("u8", "i16"))
    assert not isinstance(choice.pack, PackFieldsSpec)


@pytest.mark.parametrize("form", ["lut_permute", "lut_shuffle"])
def test_look_up_of_sums_beyond_int16_is_refused(form: str) -> None:
    shape = Shape(6000, 16)
    with pytest.raises(UnsupportedPrecision, match="could overflow"):
        describe(FORMS[form], shape.problem("u2", "i2", 3), weights(shape, -2, -2), (1, 64), (1, 1))


def test_grouped_b1_does_not_use_bits() -> None:
    shape = replace(MIDDLE, groups=2)
    choice = choose(shape.problem("b1", "b1", 1, acc_shift=1), 2 * weights(shape, 0, 1) - 1, TARGETS["x86-64-v4-vnni-popcnt"])
    assert choice.spec.form == "u8_vnni"
    assert choice.spec.window


def test_sixteen_bits_take_two_parts_only_where_needed() -> None:
    small = choose(MIDDLE.problem("i16", "i8", 32768, "i16"), weights(MIDDLE, -127, 127), TARGETS["x86-64-v3"])
    large = choose(MIDDLE.problem("i16", "i16", 32768, "i16"), weights(MIDDLE, -32767, 32767), TARGETS["x86-64-v3"])
    assert (small.spec.form, small.spec.parts, small.spec.wide) == ("i16_maddwd", 1, True)
    assert (large.spec.form, large.spec.parts, large.spec.wide) == ("i16_maddwd", 2, True)


def test_nothing_fits() -> None:
    problem = MIDDLE.problem("u8", "i8", 255)
    with pytest.raises(UnsupportedPrecision, match=r"layer \(conv2d\): no u8 x i8 kernel for x86-64-v3 .* u8_maddubs"):
        choose(problem, weights(MIDDLE, -40000, 40000), TARGETS["x86-64-v3"])


def test_unsafe_form_is_refused() -> None:
    problem = MIDDLE.problem("u8", "i8", 255)
    with pytest.raises(UnsupportedPrecision, match="u8_maddubs could overflow"):
        describe(FORMS["u8_maddubs"], problem, weights(MIDDLE, -127, 127), (4, 16), (1, 1))


PAIRS = [  # act, weight, lowest and highest weight, largest stored input, source dtype
    ("u8", "i8", -128, 127, 255, "u8"),
    ("u8", "i8", -70, 70, 255, "u8"),
    ("u4", "i4", -8, 7, 15, "u8"),
    ("f32", "f32", -5, 5, 0, "f32"),
    ("i16", "i16", -32768, 32767, 32768, "i16"),
    ("b1", "b1", 0, 1, 1, "u8"),
]


@pytest.mark.parametrize("target", runnable_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}{pair[1]}_{pair[3]}")
def test_chosen_kernels_compute_the_convolution(target: Target, pair: tuple[str, str, int, int, int, str]) -> None:
    act, weight, low, high, act_max, src = pair
    for shape in (
        Shape(70, 72, 9, 9, kernel=(3, 3), padding=(1, 1, 1, 1), residual=True),
        Shape(64, 96, 6, 7, stride=(2, 2), groups=4),
        Shape(100, 10, 1, 3),
    ):
        w = weights(shape, low, high)
        w = w.astype(np.float32) if act == "f32" else 2 * w - 1 if weight == "b1" else w
        problem = shape.problem(act, weight, act_max, src, acc_shift=int(act == "b1"))
        check(problem, choose(problem, w, target), w, target, pad=1 if act == "b1" else 0)
