"""Memory for kernel tests that make their own: as kernels/case.py has it, aligned."""

from __future__ import annotations

import numpy as np

from lowbit.kernels import case
from lowbit.kernels.case import NUMPY, inner, physical, random_values
from lowbit.kernels.layout import Layout

from .harness import aligned

__all__ = ["NUMPY", "empty", "inner", "physical", "place", "random_values"]


def empty(layout: Layout) -> np.ndarray:
    """A buffer full of junk."""
    return aligned(case.blank(layout))


def place(values: np.ndarray, layout: Layout, halo: float = 0) -> np.ndarray:
    """``case.place``."""
    return aligned(case.place(values, layout, halo))
