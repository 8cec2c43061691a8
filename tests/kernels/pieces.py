"""Run a kernel in pieces of its units and check what it must leave alone."""

from __future__ import annotations

import itertools

import numpy as np

from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import Target

from .harness import aligned, run_kernel
from .tensors import empty, inner, physical

__all__ = ["run_in_pieces"]


def run_in_pieces(spec: KernelSpec, target: Target, dst: Layout, **arrays: np.ndarray | None) -> np.ndarray:
    """Call the kernel on [0, a), [a, b), [b, units); returns the stored result (n, h, w, c).

    Asserts that the halo of the destination kept its junk."""
    arrays = {name: None if value is None else aligned(value) for name, value in arrays.items()}
    out = empty(dst)
    before = physical(out, dst).copy()
    cuts = sorted({0, spec.units // 3, spec.units // 2, spec.units})
    for lo, hi in itertools.pairwise(cuts):
        run_kernel(spec, target, lo, hi, o=out, **arrays)
    inner(before, dst)[...] = inner(out, dst)
    np.testing.assert_array_equal(physical(out, dst), before, "the kernel wrote into the halo")
    return inner(out, dst)[..., : dst.c].copy()
