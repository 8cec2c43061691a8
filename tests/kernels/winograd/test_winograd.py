"""F(2x2, 3x3) and F(4x4, 3x3): the matrices, the proofs, and kernels that equal the plain sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.selection.select import choose
from lowbit.kernels.conv2d.selection.winograd import tilings, winograd_choices
from lowbit.kernels.spec import spec_from_json
from lowbit.kernels.winograd.cases import KINDS, SHAPES
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.kernels.winograd.transforms import MATRICES, REACH, Ring, input_1d, output_1d, transform_2d, weights_1d
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.cases import check
from tests.kernels.emulated import emulated_targets, missing_tools
from tests.kernels.harness import runnable_targets

WHOLE = Ring(lambda a, b: a + b, lambda a, b: a - b, lambda a, k: a * k)
ODD = SHAPES[0]
TARGETS_HERE = runnable_targets()


def weights(shape: Shape, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(1).integers(low, high + 1, shape.weight_shape)


def found(problem: ConvProblem, w: np.ndarray, target: Target) -> dict[str, Choice]:
    return {f"{c.spec.m}{c.spec.form}": c for c in winograd_choices(problem, w, target)}


@pytest.mark.parametrize("m", MATRICES)
@given(data=st.data())
def test_transforms_equal_their_matrices(m: int, data: st.DataObject) -> None:
    at = MATRICES[m]
    whole = st.integers(-1000, 1000)
    d, g = (data.draw(st.lists(whole, min_size=n, max_size=n)) for n in (m + 2, 3))
    assert input_1d(WHOLE, d) == list(at.bt @ d)
    assert weights_1d(WHOLE, g, m) == list(at.g @ g)
    assert output_1d(WHOLE, d) == list(at.at @ d)
    y = at.at @ ((at.g @ g) * (at.bt @ d))
    assert list(y) == [at.scale * sum(g[k] * d[i + k] for k in range(3)) for i in range(m)]


def test_two_dimensions_are_one_after_the_other() -> None:
    d = np.random.default_rng(0).integers(0, 256, (6, 6))
    got = np.array(transform_2d(lambda column: input_1d(WHOLE, column), d.tolist()))
    assert np.array_equal(got, MATRICES[4].bt @ d @ MATRICES[4].bt.T)


@pytest.mark.parametrize("m", MATRICES)
def test_transformed_numbers_fit_int16(m: int) -> None:
    """The largest |V| for inputs 0 .. 255 and |U| for int8, from the signs of the matrices."""
    bt, g = MATRICES[m].bt, MATRICES[m].g
    both = np.einsum("ik,jl->ijkl", bt, bt).reshape(-1, (m + 2) ** 2)
    assert 255 * max(np.maximum(both, 0).sum(1).max(), np.maximum(-both, 0).sum(1).max()) <= 32767
    assert 128 * np.abs(np.einsum("ik,jl->ijkl", g, g)).sum((2, 3)).max() <= 32767
    assert np.abs(bt).sum(1).max() ** 2 * 255 <= 32767  # also every partial sum
    assert REACH[m] * MATRICES[m].scale ** 2 <= 2**31 * (9 if m == 4 else 1)


@pytest.mark.parametrize("target", TARGETS_HERE, ids=lambda t: t.name)
def test_every_size_is_exact(target: Target) -> None:
    problem, w = ODD.problem("u4", "i4", 15), weights(ODD, -8, 7)
    for choice in found(problem, w, target).values():
        sizes = tilings(choice.spec, target)
        for spec in [*sizes[:: max(1, len(sizes) // 3)], replace(choice.spec, tb=3, mr=2, n_blocks=1)]:
            check(problem, replace(choice, spec=spec, packing=replace(choice.packing, nr=spec.nr)), w, target)


@pytest.mark.parametrize("target", emulated_targets(), ids=lambda t: t.name)
@pytest.mark.parametrize("kind", [*KINDS[:1], ("f32", "f32", 0, 0, 0)], ids=lambda k: k[0])
def test_under_emulation(target: Target, kind: tuple[str, str, int, int, int]) -> None:
    if missing_tools():
        pytest.skip(missing_tools())
    act, weight, low, high, act_max = kind
    problem = ODD.problem(act, weight, act_max, "f32" if act == "f32" else "u8")
    w = weights(ODD, low, high) if act_max else np.random.default_rng(1).standard_normal(ODD.weight_shape).astype(np.float32)
    choices = found(problem, w, target)
    assert {"4", "2"} <= {name[0] for name in choices}
    for choice in choices.values():
        check(problem, choice, w, target, pad=min(act_max, 3))


def test_largest_inputs_and_weights_wrap_and_come_back() -> None:
    """M leaves int32 many times over; the total does not."""
    shape = Shape(112, 16, 8, 8, kernel=(3, 3), padding=(1, 1, 1, 1), dst="f32")
    problem = shape.problem("u8", "i8", 255)
    for w in (np.full(shape.weight_shape, -128), np.full(shape.weight_shape, 127)):
        for target in TARGETS_HERE:
            for choice in found(problem, w, target).values():
                check(problem, choice, w, target, x=np.full((1, 8, 8, 112), 255), pad=255)


def test_the_bound_on_sums_decides() -> None:
    shape = Shape(128, 16, 8, 8, kernel=(3, 3), padding=(1, 1, 1, 1))
    problem, target = shape.problem("u8", "i8", 255), TARGETS["x86-64-v3"]
    most = (REACH[4] - 1) // 255
    w = np.zeros(shape.weight_shape, np.int64)
    w[5] = 114
    w[5].reshape(-1)[: most - w[5].sum()] += 1
    assert 255 * w[5].sum() < REACH[4]
    assert "4i16_maddwd" in found(problem, w, target)
    w[5, 1, 1, 1] += 1
    assert "4i16_maddwd" not in found(problem, w, target)
    assert "2i16_maddwd" in found(problem, w, target)


def test_bytes_where_everything_fits_them() -> None:
    target = TARGETS["x86-64-v4-vnni"]
    w = weights(ODD, -8, 7)
    w[0, :, :, 0] = 14
    assert "2u8_vnni" in found(ODD.problem("u6", "i5", 63), w, target)
    assert "2u8_vnni" not in found(ODD.problem("u7", "i5", 64), w, target)  # 4 * 64 = 256
    w[0, :, :, 0] = 15
    assert "2u8_vnni" not in found(ODD.problem("u6", "i5", 63), w, target)  # 9 * 15 = 135


@pytest.mark.parametrize(
    "shape",
    [
        replace(ODD, stride=(2, 2)), replace(ODD, dilation=(2, 2)), replace(ODD, groups=2), replace(ODD, kernel=(3, 1)),
        replace(ODD, c=8), replace(ODD, h=3, padding=(0, 0, 0, 0)),
    ],
    ids=["stride", "dilation", "groups", "kernel", "channels", "one-row"],
)  # fmt: skip
def test_where_it_does_not_apply(shape: Shape) -> None:
    assert not found(shape.problem("u8", "i8", 255), weights(shape, -9, 9), TARGETS["x86-64-v3"])


def test_it_is_chosen_where_it_is_faster() -> None:
    shape = Shape(64, 64, 56, 56, kernel=(3, 3), padding=(1, 1, 1, 1))
    for target in ("x86-64-v3", "x86-64-v4-vnni"):
        choice = choose(shape.problem("u8", "i8", 255), weights(shape, -60, 60), TARGETS[target])
        assert isinstance(choice.spec, WinogradSpec)
        assert choice.spec.m == 4
        assert choice.spec.units >= 4
        assert spec_from_json(choice.spec.to_json()) == choice.spec
    few = Shape(16, 16, 4, 4, kernel=(3, 3), padding=(1, 1, 1, 1))
    assert not isinstance(
        choose(few.problem("u8", "i8", 255), weights(few, -60, 60), TARGETS["x86-64-v4-vnni"]).spec, WinogradSpec
    )
