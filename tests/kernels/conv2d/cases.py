"""A convolution of the tests, run and compared."""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.cases import case_of
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.targets import Target
from tests.kernels.harness import check_case

__all__ = ["check"]


def check(
    problem: ConvProblem,
    choice: Choice,
    w: np.ndarray,
    target: Target,
    x: np.ndarray | None = None,
    pad: float = 0,
    seed: int = 0,
) -> None:
    """The kernel of ``choice`` equals its reference: integers one for one, float32 within its bound.  Arguments as those of
    ``case_of``."""
    check_case(case_of(problem.layer, problem, choice, w, x, pad), target)
