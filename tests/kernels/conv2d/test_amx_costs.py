"""What the cost model says of kernels on tiles, beside what was measured, and what is chosen by it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lowbit.kernels.conv2d.amx.plan import plan_of
from lowbit.kernels.conv2d.cases import Operands, Shape, operands
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.decide import realize
from lowbit.kernels.conv2d.selection.decision import decision_of
from lowbit.kernels.conv2d.selection.select import choose, estimate, option
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.targets import TARGETS, Target
from tests.kernels.conv2d.resnet50 import LAYERS

TYPED = TARGETS["x86-64-v4-amx-bf16"]
FITTED = replace(TYPED, costs="intel-6-207")
_HZ = 2.5e9

# widest first
TYPES = {
    "fp32": Operands("f32", "f32", 0, 0, 0, "f32"),
    "i16": Operands("i16", "i16", 32768, -32768, 32767, "i16"),
    "w8a8": Operands("u8", "i8", 255, -128, 127),
    "w7a7": Operands("u7", "i7", 127, -64, 63),
    "w4a8": Operands("u8", "i4", 255, -8, 7),
    "w4a4": Operands("u4", "i4", 15, -8, 7),
    "w2a2": Operands("u2", "i2", 3, -2, 1),
    "w1a1": Operands("u1", "b1", 1, -1, 1, acc_shift=0),
}
OTHERS = {
    "batch 8": Shape(64, 64, 14, 14, 8, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "odd channels": Shape(100, 60, 20, 20, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "a linear layer of one row": Shape(512, 1000),
    "a linear layer of 64 rows": Shape(512, 1000, 1, 64),
    "few channels": Shape(16, 16, 32, 32, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "an image": Shape(3, 64, 64, 64, kernel=(7, 7), stride=(2, 2), padding=(3, 3, 3, 3), dense=True),
    "groups": Shape(128, 128, 14, 14, kernel=(3, 3), padding=(1, 1, 1, 1), groups=4),
}
SHAPES = {**{name: layer.shape for name, layer in LAYERS.items()}, **OTHERS}


def predicted(shape: Shape, types: Operands, target: Target) -> tuple[str, float]:
    """The form chosen, and its cycles."""
    if types.act == "i16":
        shape = replace(shape, dst="i16")
    problem, w = types.problem(shape), types.weights(shape, "random")
    choice = choose(problem, w, target)
    return choice.spec.form, estimate(choice, target)


SHORT_ROWS = ("7: 3x3 s2 512", "7: 1x1 s2 1024-2048")  # strided to 7 x 7 outputs


@pytest.mark.parametrize("name", SHORT_ROWS)
def test_short_rows_are_gathered(name: str) -> None:
    """Four tiles of 13 rows in place of seven of 7, for the copy of what they read: at least a tenth faster."""
    problem, w = TYPES["w8a8"].problem(LAYERS[name].shape), TYPES["w8a8"].weights(LAYERS[name].shape, "random")
    gathered, plain = (option(FORMS[form], problem, w, FITTED) for form in ("u8_amx_gathered", "u8_amx"))
    assert gathered is not None
    assert plain is not None
    assert estimate(gathered, FITTED) < 0.9 * estimate(plain, FITTED)
    assert isinstance(gathered.spec, ConvSpec)
    assert isinstance(plain.spec, ConvSpec)
    assert (plan_of(gathered.spec).walk.tiles, plan_of(plain.spec).walk.tiles) == (4, 7)


@pytest.mark.parametrize("name", LAYERS)
def test_estimates_are_near_what_was_measured(name: str) -> None:
    layer = LAYERS[name]
    types = TYPES["w8a8"]
    choice = option(FORMS["u8_amx"], types.problem(layer.shape), types.weights(layer.shape, "random"), FITTED)
    assert choice is not None
    assert 0.75 < estimate(choice, FITTED) / _HZ * 1e6 / layer.tiles < 1.45


def test_all_layers_together_are_within_a_tenth() -> None:
    types = TYPES["w8a8"]
    total = 0.0
    for layer in LAYERS.values():
        choice = option(FORMS["u8_amx"], types.problem(layer.shape), types.weights(layer.shape, "random"), FITTED)
        assert choice is not None
        total += estimate(choice, FITTED) / _HZ * 1e6
    assert total == pytest.approx(sum(layer.tiles for layer in LAYERS.values()), rel=0.1)


@pytest.mark.parametrize("target", [TYPED, FITTED], ids=["typed", "fitted"])
@pytest.mark.parametrize("name", SHAPES)
def test_fewer_bits_are_never_slower(name: str, target: Target) -> None:
    """From 16 bits on; floats beside them only where products, not results, take the time."""
    tried = {text: types for text, types in TYPES.items() if text != "fp32" or name in LAYERS}
    cycles = {text: predicted(SHAPES[name], types, target) for text, types in tried.items()}
    ordered = [count for _, count in cycles.values()]
    assert all(later <= earlier * 1.001 for earlier, later in pairwise(ordered)), cycles


@pytest.mark.parametrize("target", [TYPED, FITTED], ids=["typed", "fitted"])
def test_tiles_are_chosen_where_they_pay(target: Target) -> None:
    for name, layer in LAYERS.items():
        assert predicted(layer.shape, TYPES["w8a8"], target)[0] == ("u8_amx_gathered" if name in SHORT_ROWS else "u8_amx"), name
        assert predicted(layer.shape, TYPES["i16"], target)[0] == "i16_amx", name
    assert predicted(OTHERS["a linear layer of one row"], TYPES["w8a8"], target)[0] == "u8_vnni"
    assert predicted(OTHERS["a linear layer of 64 rows"], TYPES["w8a8"], target)[0] == "u8_amx"


def test_narrow_weights_stay_narrow_where_they_are_streamed() -> None:
    """In the last stage, whose weights are read once; at a gain measured there: 133 to 89 us at 4 bits, 79 at 2."""
    for name, layer in LAYERS.items():
        form, cycles = predicted(layer.shape, TYPES["w4a8"], FITTED)
        bytes_, wide = predicted(layer.shape, TYPES["w8a8"], FITTED)
        few = name in ("7: 1x1 512-2048 r", "7: 1x1 2048-512", "7: 3x3 512")
        narrower, fewest = predicted(layer.shape, TYPES["w2a2"], FITTED)
        assert narrower == ("u8_amx_i2" if few else "u8_amx_gathered" if name in SHORT_ROWS else "u8_amx"), name
        assert (fewest < 0.97 * cycles) == few, name
        plain = "u8_amx_gathered" if name in SHORT_ROWS else "u8_amx"
        assert (form, bytes_) == ("u8_amx_i4" if few else plain, plain), name
        assert (cycles < 0.9 * wide) == few, name


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", ["u8_amx", "i16_amx"])
def test_units_leave_weights_together(name: str, form: str) -> None:
    """Enough units for four threads where the work pays for that, and a group of channels is in one of them."""
    types = TYPES["w8a8" if form == "u8_amx" else "i16"]
    shape = replace(SHAPES[name], dst="i16") if form == "i16_amx" else SHAPES[name]
    choice = option(FORMS[form], types.problem(shape), types.weights(shape, "random"), FITTED)
    assert choice is not None
    spec = choice.spec
    assert isinstance(spec, ConvSpec)
    assert spec.units == -(-spec.tiles // spec.m_tiles) * -(-spec.blocks // spec.n_blocks)
    assert spec.units >= min(4, int(estimate(choice, FITTED) / 50_000), spec.tiles * -(-spec.dst.c // 64))
    assert np.gcd(spec.n_blocks * spec.nr, 64) == 64 or spec.n_blocks >= spec.blocks or form == "i16_amx"


@pytest.mark.parametrize("name", ["7: 3x3 512", "56: 3x3 64", "odd channels", "groups", "batch 8"])
@pytest.mark.parametrize("types", ["w8a8", "w4a4", "i16"])
def test_the_tuner_can_measure_them(name: str, types: str) -> None:
    """Decisions for tiles are among the candidates, and each means a kernel."""
    shape = replace(SHAPES[name], dst="i16") if types == "i16" else SHAPES[name]
    problem, w = TYPES[types].problem(shape), TYPES[types].weights(shape, "random")
    tried = [decision for decision in candidates(problem, w, TYPED) if "_amx" in decision.form]
    assert len({(decision.mr, decision.nr) for decision in tried}) > 1
    for decision in tried:
        choice = realize(decision, problem, w, TYPED)
        assert choice is not None, decision
        assert decision_of(choice) == decision


@pytest.mark.parametrize("target", [TYPED, FITTED], ids=["typed", "fitted"])
@pytest.mark.parametrize("name", LAYERS)
def test_floats_on_tiles_are_worth_asking_for(name: str, target: Target) -> None:
    """Chosen where they are asked for, between float32 and bytes."""
    asked = operands(FORMS["bf16x3_amx"])
    form, cycles = predicted(LAYERS[name].shape, asked, target)
    assert form == "bf16x3_amx"
    plain, exact = predicted(LAYERS[name].shape, TYPES["fp32"], target)
    assert plain != form
    assert predicted(LAYERS[name].shape, TYPES["w8a8"], target)[1] < cycles < exact
