"""Fitted costs change which kernel is chosen, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.forms import FORMS, fastest_first
from lowbit.kernels.conv2d.selection.cost import Workload
from lowbit.kernels.conv2d.selection.decide import realize
from lowbit.kernels.conv2d.selection.decision import decision_of
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.select import choose, outcome
from lowbit.kernels.conv2d.selection.winograd import winograd_cycles
from lowbit.kernels.layout import Layout
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import TARGETS
from lowbit.targets.costs import read_costs

TYPED = TARGETS["x86-64-v4-vnni-popcnt"]
INTEL = replace(TYPED, costs="intel-6-207")
FACTORS = read_costs("intel-6-207")


def problem(kernel: int = 1) -> tuple[ConvProblem, np.ndarray]:
    around = kernel // 2
    shape = Shape(256, 256, 14, 14, kernel=(kernel, kernel), padding=(around,) * 4)
    weights = np.random.default_rng(0).integers(-63, 64, shape.weight_shape)
    return shape.problem("u7", "i7", 127), weights


def test_direct_cycles_are_multiplied() -> None:
    load = Workload(Layout(1, 14, 14, 64, 64), 64)
    for form in ("u8_vnni", "u8_vnni_pairs", "f32", "lut_permute"):
        plain, fitted = (FORMS[form].tilings(load, target) for target in (TYPED, INTEL))
        factor = FACTORS.factor("direct", form)
        assert factor != 1.0
        assert [t.cycles for t in fitted] == pytest.approx([factor * t.cycles for t in plain])
        assert [replace(t, cycles=0.0) for t in fitted] == [replace(t, cycles=0.0) for t in plain]


def test_the_costs_that_were_measured_on_zen_4_are_the_typed_ones() -> None:
    zen4 = replace(TYPED, costs="amd-25-17")
    assert fastest_first(zen4) == fastest_first(TYPED)
    for kernel in (1, 3):
        assert choose(*problem(kernel), zen4).spec == choose(*problem(kernel), TYPED).spec


def test_seven_bits_on_intel_are_not_multiplied_in_pairs() -> None:
    """Pairs halve the multiplications, of which an Intel core does twice as many a cycle as a Zen 4."""
    names = [form.name for form in fastest_first(INTEL)]
    assert names.index("u8_vnni") < names.index("u8_vnni_pairs")
    assert choose(*problem(), TYPED).spec.form == "u8_vnni_pairs"
    assert choose(*problem(), INTEL).spec.form == "u8_vnni"


def test_winograd_cycles_are_multiplied() -> None:
    given, weights = problem(3)
    for name in ("winograd2-i16_vnni", "winograd4-i16_vnni_pairs"):
        choice = outcome(name, given, weights, TYPED)
        assert choice is not None
        assert isinstance(choice.spec, WinogradSpec)
        factor = FACTORS.factor(*name.split("-"))
        assert factor != 1.0
        assert winograd_cycles(choice.spec, INTEL) == pytest.approx(factor * winograd_cycles(choice.spec, TYPED))


def test_a_decision_is_the_same_kernel_under_all_costs() -> None:
    for kernel in (1, 3):
        given, weights = problem(kernel)
        for decided in (TYPED, INTEL):
            decision = decision_of(choose(given, weights, decided))
            typed, fitted = (realize(decision, given, weights, target) for target in (TYPED, INTEL))
            assert typed is not None
            assert fitted is not None
            assert typed.spec == fitted.spec
