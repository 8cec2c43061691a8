"""Measuring for real, on problems of microseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lowbit.backend.build import build_library, weights_file
from lowbit.backend.cache import compile_kernels
from lowbit.backend.native import NativeNetwork
from lowbit.kernels.conv2d.cases import Shape
from lowbit.kernels.conv2d.selection import decide
from lowbit.kernels.conv2d.selection.candidates import candidates
from lowbit.kernels.conv2d.selection.problem import Choice
from lowbit.targets import find_target
from lowbit.tuning.measure import Measurer
from lowbit.tuning.probe import make_probe
from tests.tuning.problems import SHAPE, requested

TARGET = find_target("native")
TYPES = {  # act, weight, lowest and highest weight, largest stored input, source dtype
    "u8i8": ("u8", "i8", -127, 127, 255, "u8"),
    "u8i8 narrow": ("u8", "i8", -60, 60, 255, "u8"),
    "u2i2": ("u2", "i2", -2, 1, 3, "u8"),
    "b1": ("b1", "b1", 0, 1, 1, "u8"),
    "i16": ("i16", "i16", -32767, 32767, 32768, "i16"),
    "f32": ("f32", "f32", -3, 3, 0, "f32"),
}
CONV = replace(SHAPE, residual=True, halo=(1, 1, 1, 1))
SHAPES = {
    "winograd": Shape(32, 32, 6, 6, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "groups": Shape(64, 64, 3, 5, groups=4),
    "linear": Shape(100, 64),
    "float out": Shape(64, 64, 4, 4, dst="f32"),
}


def operands(types: str, shape: Shape) -> tuple[object, np.ndarray]:
    act, weight, low, high, act_max, src = TYPES[types]
    w = np.random.default_rng(0).integers(low, high + 1, shape.weight_shape)
    w = w.astype(np.float32) if act == "f32" else 2 * w - 1 if weight == "b1" else w
    dst = "i16" if act == "i16" and shape.dst == "u8" else shape.dst
    return replace(shape, dst=dst).problem(act, weight, act_max, src, acc_shift=int(act == "b1")), w


@pytest.mark.parametrize(
    ("types", "shape"),
    [*((types, "conv") for types in TYPES), *((types, shape) for types in ("u8i8", "f32") for shape in SHAPES)],
)
def test_every_kind_of_problem_is_measured_and_its_output_checked(types: str, shape: str) -> None:
    problem, w = operands(types, CONV if shape == "conv" else SHAPES[shape])
    request = requested(problem, w, TARGET)  # type: ignore[arg-type]
    found = candidates(problem, w, TARGET)  # type: ignore[arg-type]
    model, measured = Measurer(TARGET, 1)(request, [*found[1:2], *found[-2:]], 2, 0.0)
    assert model.ratio == 1.0
    assert model.ns > 0
    assert all(one is not None and one.ns > 0 and one.ratio > 0 for one in measured)


def test_the_outputs_that_are_compared_are_not_all_the_same_number() -> None:
    for types in TYPES:
        problem, w = operands(types, CONV)
        request = requested(problem, w, TARGET)  # type: ignore[arg-type]
        probe = make_probe(request.problem, [request.model], w, TARGET)
        objects = compile_kernels(probe.program.specs, TARGET)
        network = NativeNetwork(build_library(probe.program, objects, TARGET), weights_file(probe.program), 1)
        (output,) = network.run(probe.inputs)
        network.close()
        _, counts = np.unique(output, return_counts=True)
        assert len(counts) > 30, types
        assert counts.max() < output.size / 3, types


def test_what_is_not_admissible_is_not_measured() -> None:
    problem, w = operands("u8i8", CONV)
    request = requested(problem, w, TARGET)  # type: ignore[arg-type]
    found = candidates(problem, w, TARGET)  # type: ignore[arg-type]
    _, measured = Measurer(TARGET, 2)(request, [replace(found[0], mr=0), found[0], replace(found[0], form="f32")], 3, 1.0)
    assert [one is None for one in measured] == [True, False, True]


@pytest.mark.parametrize("types", ["u8i8", "f32"])
def test_a_kernel_with_another_output_is_never_used(types: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, w = operands(types, SHAPES["linear"])
    request = requested(problem, w, TARGET)  # type: ignore[arg-type]
    found = candidates(problem, w, TARGET)  # type: ignore[arg-type]
    real = decide.realize

    def wrong(decision: object, *rest: object) -> Choice | None:
        """The second candidate has no weights for half of its channels."""
        choice = real(decision, *rest)  # type: ignore[arg-type]
        if decision != found[1] or choice is None:
            return choice
        return replace(choice, packing=replace(choice.packing, n=choice.packing.n // 2))

    monkeypatch.setattr("lowbit.tuning.measure.realize", wrong)
    with pytest.warns(UserWarning, match="layer: kernel .* computes something else than .* not used"):
        _, measured = Measurer(TARGET, 1)(request, found[1:3], 2, 0.0)
    assert [one is None for one in measured] == [True, False]


def test_rounds_end_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, w = operands("u8i8", SHAPES["linear"])
    request = requested(problem, w, TARGET)  # type: ignore[arg-type]
    runs: list[int] = []
    real: Callable[..., np.ndarray] = NativeNetwork.profile
    monkeypatch.setattr(NativeNetwork, "profile", lambda self, inputs: runs.append(1) or real(self, inputs))
    Measurer(TARGET, 1)(request, [], 50, 0.0)
    assert len(runs) == 3
    runs.clear()
    Measurer(TARGET, 1)(request, [], 5, 100.0)
    assert len(runs) == 5
