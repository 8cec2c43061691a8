"""Convolutions to try Winograd kernels on: every form, every size of operand that selects another way to be exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lowbit.kernels.case import Case
from lowbit.kernels.conv2d.cases import Shape, case_of
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.winograd import winograd_outcomes
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import Target

__all__ = ["KINDS", "SHAPES", "cases"]

SHAPES: tuple[Shape, ...] = (
    Shape(24, 48, 7, 9, kernel=(3, 3), padding=(1, 1, 1, 1)),
    Shape(40, 32, 13, 10, batch=2, kernel=(3, 3), padding=(1, 1, 1, 1), halo=(1, 1, 0, 1), residual=True),
    Shape(64, 16, 6, 31, kernel=(3, 3), padding=(0, 0, 0, 0), sign=True),
    Shape(128, 32, 7, 9, kernel=(3, 3), padding=(1, 1, 1, 1), residual=True, few=True),
    Shape(16, 80, 4, 4, batch=3, kernel=(3, 3), padding=(2, 2, 2, 2), dst="f32"),
)
# The last group of channels is not full, and what fills it up holds large values that a sum of pairs has no room for.
UNFILLED = Shape(60, 48, 7, 9, kernel=(3, 3), padding=(1, 1, 1, 1))
KINDS: tuple[tuple[str, str, int, int, int], ...] = (  # types, weights from and to, inputs up to
    ("u8", "i8", -128, 127, 255),
    ("u7", "i7", -64, 63, 127),
    ("u6", "i5", -12, 12, 63),
    ("u4", "i4", -8, 7, 15),
    ("u2", "i2", -2, 1, 3),
)


def cases(target: Target) -> Iterator[Case]:
    """Every admissible form and algorithm, with the tile of the cost model and with one that divides nothing."""
    for number, (act, weight, low, high, act_max) in enumerate(KINDS):
        shape = SHAPES[number % len(SHAPES)]
        w = np.random.default_rng(1).integers(low, high + 1, shape.weight_shape)
        yield from _each(f"{act}{weight}", shape.problem(act, weight, act_max), w, target)
    for act, weight, low, high, act_max in (("u4", "i4", -8, 7, 15), ("u5", "i3", -4, 3, 31)):
        w = np.random.default_rng(1).integers(low, high + 1, UNFILLED.weight_shape)
        yield from _each(f"{act}{weight}_unfilled", UNFILLED.problem(act, weight, act_max), w, target)
    for shape in SHAPES[:2]:
        w = np.random.default_rng(1).standard_normal(shape.weight_shape).astype(np.float32)
        yield from _each(f"f32_{shape.batch}", shape.problem("f32", "f32", 0, "f32"), w, target)


def _each(name: str, problem: ConvProblem, w: np.ndarray, target: Target) -> Iterator[Case]:
    for form, choice in winograd_outcomes(problem, w, target):
        if choice is None:
            continue
        assert isinstance(choice.spec, WinogradSpec)
        odd = replace(choice.spec, tb=3, mr=2, n_blocks=1)
        for spec, size in ((choice.spec, "model"), (odd, "odd")):
            yield case_of(f"{name}/{form}/{size}", problem, replace(choice, spec=spec), w, pad=min(problem.act_max, 3))
