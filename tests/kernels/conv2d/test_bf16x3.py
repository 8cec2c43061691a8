"""float32 on AMX's bfloat16, emulated: the bits of a model in numpy, and errors within the bound that is derived for them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lowbit.kernels.case import NUMPY, Case, inner
from lowbit.kernels.conv2d.amx import reference
from lowbit.kernels.conv2d.cases import Shape, case_of, forced, operands
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.reference import accumulate
from lowbit.kernels.conv2d.selection.decision import key_of
from lowbit.kernels.conv2d.selection.select import choose, outcomes
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.numerics.bfloat16 import BF16X3_SPLIT, SMALLEST, bf16x3_underflow
from lowbit.numerics.float_products import FLOAT32
from lowbit.targets import TARGETS
from lowbit.targets.host import obstacle
from tests.kernels.harness import aligned, check_case, run_kernel

FORM = FORMS["bf16x3_amx"]
EMULATED, REAL, BYTES = (TARGETS[name] for name in ("x86-64-v3-amx-emulated", "x86-64-v4-amx-bf16", "x86-64-v4-amx"))
emulated = pytest.mark.skipif(bool(obstacle(EMULATED)), reason="this CPU does not even emulate tiles")
SQUARE = Shape(40, 24, 6, 7, kernel=(3, 3), padding=(1, 1, 1, 1))
WORST = np.float32(1 + 2**-8 - 3 * 2**-17)  # tests/numerics/test_bfloat16.py


def plain_case(shape: Shape, x: np.ndarray, w: np.ndarray) -> Case:
    """No bias, no residual, nothing clamped: results are sums."""
    problem = operands(FORM).problem(shape)
    choice = forced(problem, w, FORM.name, (14, 32), parts=2)
    with np.errstate(invalid="ignore"):
        case = case_of("sums", problem, choice, w, x=x)
    values = {**case.values, "b": np.zeros(len(w)), "s": np.array([-np.inf, np.inf], np.float32)}
    memory = {**case.memory, "b": np.zeros_like(case.memory["b"]), "s": values["s"]}
    return replace(case, memory=memory, values=values)


def computed(shape: Shape, x: np.ndarray, w: np.ndarray) -> tuple[ConvSpec, np.ndarray, np.ndarray]:
    """(spec, the kernel's sums, their inputs with halo).  The bits are the model's."""
    case = plain_case(shape, x, w)
    padded = case.values["x"]
    assert isinstance(case.spec, ConvSpec)
    assert padded is not None
    return case.spec, check_case(case, EMULATED)[..., : len(w)], padded


def drawn(kind: str, shape: Shape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = (shape.batch, shape.h, shape.w, shape.c)
    x, w = (rng.standard_normal(of).astype(np.float32) for of in (size, shape.weight_shape))
    if kind == "of all sizes":
        x *= 2.0 ** rng.integers(-30, 30, size)
        w *= 2.0 ** rng.integers(-30, 30, shape.weight_shape)
    if kind == "cancelling":  # each product and its negative, with what distinguishes them far behind
        x[..., 1::2] = x[..., ::2] * np.float32(1 + 2**-20)
        w[..., 1::2] = -w[..., ::2]
    if kind == "worst":  # every product loses as much as one can, all to one side
        x, w = np.full(size, WORST, np.float32), np.full(shape.weight_shape, WORST, np.float32)
    if kind == "tiny":
        x *= np.float32(2.0**-70)
        w *= np.float32(2.0**-56)
    if kind == "denormal":
        x *= np.float32(2.0**-130)
    return x.astype(np.float32), w.astype(np.float32)


@emulated
@pytest.mark.parametrize(
    "shape", [SQUARE, Shape(704, 16, 4, 4, kernel=(3, 3), padding=(1, 1, 1, 1)), Shape(512, 40, 1, 50)], ids=str
)
@pytest.mark.parametrize("kind", ["random", "of all sizes", "cancelling", "worst", "tiny", "denormal"])
def test_errors_are_within_the_bound(kind: str, shape: Shape) -> None:
    """Of sums in float64, whose own roundings are 2^-29 of those looked for."""
    for seed in range(2):
        x, w = drawn(kind, shape, seed)
        spec, got, padded = computed(shape, x, w)
        sizes = accumulate(spec, np.abs(padded), np.abs(w))
        magnitudes = accumulate(spec, np.abs(padded), np.ones_like(w)) + accumulate(spec, np.ones_like(padded), np.abs(w))
        runs = FORM.runs(spec, spec.k_group)
        steps = runs.count * runs.steps(spec.k_group)
        assert spec.relative_error is not None
        bound = spec.relative_error * sizes + bf16x3_underflow(steps, magnitudes)
        error = np.abs(got - accumulate(spec, padded, w))
        assert (error <= bound).all()
        if kind == "worst":
            assert error.max() >= 0.8 * BF16X3_SPLIT * sizes.max()
        if kind == "denormal":
            assert (got == 0).all()


@emulated
def test_the_thread_s_mode_of_rounding_does_not_matter() -> None:
    x, w = drawn("of all sizes", SQUARE, 5)
    case = plain_case(SQUARE, x, w)
    assert case.dst is not None
    memory = {name: aligned(array) for name, array in case.memory.items()}
    usual = computed(SQUARE, x, w)[1]  # and the kernel is compiled
    with rounding_up():
        assert np.float32(1) + np.float32(2**-30) > 1
        run_kernel(case.spec, EMULATED, **memory)
    np.testing.assert_array_equal(inner(memory["o"], case.dst)[..., : len(w)], usual)


@contextmanager
def rounding_up() -> Iterator[None]:
    """fesetround(FE_UPWARD)."""
    mathematics = ctypes.CDLL("libm.so.6")
    assert mathematics.fesetround(0x800) == 0
    try:
        yield
    finally:
        assert mathematics.fesetround(0) == 0


@emulated
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.finfo(np.float32).max])
def test_what_is_no_number_reaches_its_own_sums_alone(value: float) -> None:
    """Every sum that it enters, whatever it is multiplied by, and no other: zeros stand where a step is longer than its run."""
    x, w = drawn("random", SQUARE, 6)
    w[3] = 0
    clean = computed(SQUARE, x, w)[1]
    x[0, 2, 3, SQUARE.c - 1] = value
    _, got, _ = computed(SQUARE, x, w)
    reached = np.zeros(got.shape[1:3], bool)
    reached[1:4, 2:5] = True
    assert np.isnan(got[0, reached]).all()
    np.testing.assert_array_equal(got[0, ~reached], clean[0, ~reached])


def test_layers_that_it_does_not_take() -> None:
    """Groups, weights that round to infinity, integers, and whoever did not ask."""
    of, w = operands(FORM), np.ones(SQUARE.weight_shape, np.float32)
    assert FORM.fits(of.problem(SQUARE), w)
    assert not FORM.fits(of.problem(SQUARE), np.where(np.arange(SQUARE.c) == 1, np.float32(3.4e38), w))
    assert not FORM.fits(replace(of.problem(SQUARE), floats=FLOAT32), w)
    assert not FORM.fits(of.problem(replace(SQUARE, groups=4)), w[..., :10])
    assert not FORM.fits(replace(SQUARE.problem("u8", "i8", 255), floats=of.floats), w.astype(np.int64))


def test_nobody_gets_it_who_did_not_ask() -> None:
    shape = Shape(256, 256, 28, 28, kernel=(1, 1))
    asked, w = operands(FORM).problem(shape), np.ones(shape.weight_shape, np.float32)
    plain = replace(asked, floats=FLOAT32)
    for target in (REAL, EMULATED):
        assert choose(asked, w, target).spec.form == FORM.name
        assert choose(plain, w, target).spec.form == "f32"
        keys = [key_of(problem, outcomes(problem, w, target)) for problem in (asked, plain)]
        assert keys[0].problem == f"{keys[1].problem} float=bf16x3"  # what was measured for one does not hold for the other
    assert choose(asked, w, BYTES).spec.form == "f32"


# The model, beside rational numbers


def rounded(value: Fraction) -> float:
    """To 24 bits, ties to even, as if exponents had no end; then zero if that is below the smallest normal number."""
    if value == 0:
        return 0.0
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    near = Fraction(round(value / Fraction(2) ** (exponent - 23))) * Fraction(2) ** (exponent - 23)
    return float(near) if abs(near) >= Fraction(2) ** -126 else 0.0


def test_the_model_s_additions() -> None:
    """Sums of float32 and products of two bfloat16: far apart, near ties, near the smallest number."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 1 << 32, 6000, np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    x = x[np.isfinite(x) & (np.abs(x) < 1e30)][:3000]
    a, b = (rng.integers(128, 256, len(x)) * 2.0 ** rng.integers(-40, 40, len(x)) * rng.choice([-1, 1], len(x)) for _ in range(2))
    scale = 2.0 ** np.rint(np.log2(np.maximum(np.abs(x), SMALLEST)) + rng.integers(-45, 10, len(x)))
    products = np.where(rng.random(len(x)) < 0.7, a * b / 2.0 ** np.floor(np.log2(np.abs(a * b))) * scale, a * b)
    assert (products.astype(np.longdouble) == products).all()
    got = reference.add(x, products)
    tiny = np.where(np.abs(x) < SMALLEST, 0.0, x.astype(np.float64))
    want = [rounded(Fraction(float(t)) + Fraction(float(p))) for t, p in zip(tiny, products, strict=True)]
    np.testing.assert_array_equal(got, np.array(want, np.float32))


def test_the_model_s_smallest_sums() -> None:
    """Half a unit below the smallest normal number rounds to it, less is zero."""
    for below, want in (
        (2.0**-151, SMALLEST),
        (2.0**-150, 0.0),
        (2.0**-151 + 2.0**-160, 0.0),
        (2.0**-152, SMALLEST),
        (0.0, SMALLEST),
    ):
        assert reference.add(np.float32([SMALLEST]), np.array([-below]))[0] == want
        assert reference.add(np.float32([-SMALLEST]), np.array([below]))[0] == -want


def test_the_order_of_sums_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison bit for bit would notice another order: K one after the other, halves in another one."""
    x, w = drawn("random", SQUARE, 8)
    choice = forced(operands(FORM).problem(SQUARE), w, FORM.name, (14, 32), parts=2)
    assert isinstance(choice.spec, ConvSpec)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    own = reference.sums(choice.spec, padded, w)
    real = reference.split
    monkeypatch.setattr(reference, "split", lambda values: real(values)[::-1])
    swapped = reference.sums(choice.spec, padded, w)
    assert np.mean(own != swapped) > 0.1
    monkeypatch.setattr(reference, "split", real)
    monkeypatch.setattr(reference, "instruction", one_by_one)
    assert np.mean(own != reference.sums(choice.spec, padded, w)) > 0.1


def one_by_one(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = np.zeros((*a.shape[:2], b.shape[-1]), np.float32)
    for k in range(a.shape[2]):
        total = reference.add(total, a[:, :, k, None].astype(np.float64) * b[:, k])
    return total


@emulated
def test_what_lies_behind_the_inputs_is_not_read_as_a_number() -> None:
    """NaN in the channels past the last one, and behind the buffer."""
    x, w = drawn("random", Shape(20, 16, 5, 5), 9)
    problem = operands(FORM).problem(Shape(20, 16, 5, 5))
    choice = forced(problem, w, FORM.name, (14, 32), parts=2)
    case = case_of("junk", problem, choice, w, x=x)
    assert choice.pack is not None
    assert choice.spec.src.dtype == "bf16"
    memory = {name: aligned(array, fill=0xFF) for name, array in case.memory.items()}
    source = problem.src
    plain = np.full((source.n, source.hp, source.wp, source.stride), np.nan, np.float32)
    plain[..., : source.c] = x
    memory["x"] = aligned(np.zeros(choice.spec.src.elements, NUMPY["bf16"]), fill=0xFF)
    run_kernel(choice.pack, EMULATED, x=aligned(plain, fill=0xFF), o=memory["x"])
    run_kernel(choice.spec, EMULATED, **memory)
    assert np.isfinite(inner(memory["o"], problem.dst)).all()
