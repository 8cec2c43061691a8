"""The NEON forms under QEMU equal numpy, integer for integer."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.conv2d.cases import Shape, cases, forced
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.select import choose, option
from lowbit.targets import TARGETS
from tests.kernels.conv2d.cases import check
from tests.kernels.harness import check_case

pytestmark = pytest.mark.qemu

FORMS_OF = {
    "raspberry-pi-4": ["bit_cnt", "lut_tbl", "u8_smull", "i16_smlal", "f32"],
    "raspberry-pi-5": ["u8_sdot"],
}
CASES = [(target, form) for target, forms in FORMS_OF.items() for form in forms]
# odd sizes, strides, padding, dilation, residual, float and sign outputs; operands at their ends
SAMPLE = (1, 4, 5, 7, 8, 9, "low", "high")


def test_these_are_all_forms_made_for_neon() -> None:
    made = {name for name, form in FORMS.items() if {"neon", "dotprod"} & set(form.features.split())}
    assert made | {"f32"} == {form for _, form in CASES} | {"u8_smull_pairs"}  # which has tests of its own below


@pytest.mark.parametrize(("target", "form"), CASES)
def test_cases(target: str, form: str) -> None:
    tried = [case for case in cases(TARGETS[target]) if case.name in {f"{form}/{which}" for which in SAMPLE}]
    assert len(tried) == len(SAMPLE)
    for case in tried:
        check_case(case, TARGETS[target])


# the largest |w| at which this many products of 255 - 128 or -128 fit int16: one takes any, 0 is the whole K
@pytest.mark.parametrize(("depth", "limit"), [(1, 128), (2, 127), (3, 85), (4, 63), (32, 7), (64, 3), (0, 1)])
def test_depths_at_their_limit(depth: int, limit: int) -> None:
    shape = Shape(2 * 160 + 2, 16, 2, 3)
    rng = np.random.default_rng(depth)
    w = rng.integers(-limit, min(limit, 127) + 1, shape.weight_shape)
    w[0], w[1] = -limit, min(limit, 127)
    problem = shape.problem("u8", "i8", 255)
    choice = choose(problem, w, TARGETS["raspberry-pi-4"])
    assert (choice.spec.form, choice.spec.depth) == ("u8_smull", depth)
    x = rng.integers(0, 256, (1, 2, 3, shape.c))
    x[0, 0, 0], x[0, 0, 1] = 255, 0
    check(problem, choice, w, TARGETS["raspberry-pi-4"], x=x)


PAIRS_SHAPES = [
    (Shape(64, 48, 5, 7, residual=True), (3, 16)),
    (Shape(20, 40, 6, 6, 2, kernel=(3, 2), dilation=(1, 2), padding=(2, 1, 0, 2)), (2, 32)),
    (Shape(52, 17, 5, 7, kernel=(3, 3), padding=(1, 1, 1, 1), stride=(2, 2), halo=(1, 1, 1, 1)), (4, 16)),
    (Shape(4, 16, 9, 9, kernel=(7, 7), padding=(3, 3, 3, 3), dense=True), (5, 16)),
    (Shape(100, 20, 2, 5, sign=True), (1, 16)),
]


@pytest.mark.parametrize("bits", [2, 4, 6, 7])
@pytest.mark.parametrize(("shape", "tile"), PAIRS_SHAPES, ids=[f"{i}" for i in range(len(PAIRS_SHAPES))])
def test_two_products_in_one_multiplication(bits: int, shape: Shape, tile: tuple[int, int]) -> None:
    """With weights and inputs at both ends of their ranges, and a halo that is not 0."""
    rng, most = np.random.default_rng(bits), 2 ** (bits - 1)
    w = rng.integers(-most, most, shape.weight_shape)
    w[0], w[1] = -most, most - 1
    problem = shape.problem(f"u{bits}", f"i{bits}", 2 * most - 1)
    x = rng.integers(0, 2 * most, (shape.batch, shape.h, shape.w, shape.c))
    x[0, 0], x[0, 1] = 2 * most - 1, 0
    check(problem, forced(problem, w, "u8_smull_pairs", tile), w, TARGETS["raspberry-pi-4"], x=x, pad=2)


def test_two_products_of_eight_bits_are_refused() -> None:
    shape = Shape(64, 16, 2, 2)
    problem = shape.problem("u8", "i4", 255)
    assert option(FORMS["u8_smull_pairs"], problem, np.full(shape.weight_shape, 1), TARGETS["raspberry-pi-4"]) is None
    ragged = Shape(66, 16, 2, 2)  # a step would multiply what lies behind the pixel's channels
    small = ragged.problem("u4", "i4", 15)
    assert option(FORMS["u8_smull_pairs"], small, np.full(ragged.weight_shape, 1), TARGETS["raspberry-pi-4"]) is None


@pytest.mark.parametrize(("src", "limit", "parts"), [("i16", 127, 1), ("i16", 32767, 2), ("u8", 32767, 1)])
def test_sixteen_bits(src: str, limit: int, parts: int) -> None:
    shape = Shape(150, 20, 3, 4, kernel=(1, 2), padding=(0, 1, 0, 0), dst="i16", residual=True)
    rng = np.random.default_rng(limit)
    w = rng.integers(-limit, limit + 1, shape.weight_shape)
    w[0], w[1] = -limit, limit
    top = 32767 if src == "i16" else 255
    problem = shape.problem("i16" if src == "i16" else "u8", "i16" if limit > 127 else "i8", top, src)
    x = rng.integers(-top if src == "i16" else 0, top + 1, (1, 3, 4, 150))
    x[0, 0] = top
    check(problem, forced(problem, w, "i16_smlal", (2, 16), parts=parts), w, TARGETS["raspberry-pi-4"], x=x)


@pytest.mark.parametrize("form", ["u8_smull", "u8_sdot"])
@pytest.mark.parametrize("groups", [2, 12])
def test_groups(form: str, groups: int) -> None:
    shape = Shape(48, 24, 5, 5, kernel=(3, 3), padding=(1, 1, 1, 1), groups=groups)
    w = np.random.default_rng(groups).integers(-128, 128, shape.weight_shape)
    problem = shape.problem("u8", "i8", 255)
    check(problem, forced(problem, w, form, (4, 16)), w, TARGETS["raspberry-pi-5"])


def test_look_up_sums_at_their_limits() -> None:
    shape = Shape(555, 80, 2, 4, kernel=(3, 3), padding=(1, 1, 1, 1))
    w = np.where(np.arange(80) % 2, 1, -2)[:, None, None, None] * np.ones(shape.weight_shape, int)
    problem = shape.problem("u2", "i2", 3)
    x = np.random.default_rng(6).integers(0, 4, (1, 2, 4, 555))
    x[0, :1] = 3
    check(problem, forced(problem, w, "lut_tbl", (3, 64)), w, TARGETS["raspberry-pi-4"], x=x, pad=2)
