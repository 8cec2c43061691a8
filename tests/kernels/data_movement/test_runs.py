"""RunsSpec: copies and rescales whose geometry is an argument."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.kernels.data_movement.reference import rescaled, runs
from lowbit.kernels.spec import RunsSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel
from ..tensors import NUMPY

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)

# run, dimensions
CASES = {
    "element": (1, ((1, 0, 0),)),
    "elements": (1, ((37, 3, 2),)),
    "short": (15, ((4, 40, 20), (3, 15, 17))),
    "sixteen": (16, ((5, 16, 48), (3, 90, 300))),
    "between": (50, ((5, 50, 64), (2, 400, 400))),
    "long": (200, ((3, 700, 1000), (2, 200, 450))),
    "whole_vectors": (256, ((3, 256, 256),)),
    "repeated": (20, ((6, 0, 20),)),
}


def _memory(case: str, src: str, dst: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, o, t."""
    run, dims = CASES[case]
    sizes = [7 + run + sum((n - 1) * strides[side] for n, *strides in dims) for side in range(2)]
    rng = np.random.default_rng(len(case))
    x = aligned(rng.integers(0, 120, sizes[0]).astype(NUMPY[src]))
    o = aligned(np.full(sizes[1], 121, NUMPY[dst]))
    return x, o, aligned(np.array([5, 3, run, *np.ravel(dims)], np.int32))


def _run(spec: RunsSpec, target, **arrays: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    units = int(arrays["t"][3])
    for lo, hi in ((0, units // 2), (units // 2, units)):
        run_kernel(spec, target, lo, hi, **arrays)


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["u8", "i16", "f32"])
def test_copy(target, case, dtype):
    x, o, t = _memory(case, dtype, dtype)
    spec = RunsSpec(dtype, dtype, len(CASES[case][1]))
    want = runs(x, o, t)
    _run(spec, target, x=x, o=o, t=t)
    np.testing.assert_array_equal(o, want)


@TARGETS
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("src", "dst", "sign"), [("u8", "u8", False), ("i16", "u8", False), ("u8", "i16", False), ("i16", "u8", True)]
)
def test_rescale(target, case, src, dst, sign):
    x, o, t = _memory(case, src, dst)
    s = aligned(np.array([1, -60, 0.731, -50, 40, 70], np.float32))
    spec = RunsSpec(src, dst, len(CASES[case][1]), rescale=True, sign=sign)
    want = runs(rescaled(spec, x, s), o, t)
    assert len(np.unique(want)) > 1 or case == "element"
    _run(spec, target, x=x, o=o, s=s, t=t)
    np.testing.assert_array_equal(o, want)


def test_the_call_knows_the_units():
    with pytest.raises(NotImplementedError):
        _ = RunsSpec("u8", "u8", 1).units
