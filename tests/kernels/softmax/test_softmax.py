"""What softmaxes promise beside their cases (kernels/softmax/cases.py)."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.backend.codegen import prim_func
from lowbit.errors import UnsupportedOperation
from lowbit.kernels.layout import Layout
from lowbit.kernels.softmax.cases import table
from lowbit.kernels.softmax.spec import SoftmaxSpec

from ..distinct_targets import distinct_targets
from ..harness import aligned, run_kernel, runnable_targets
from ..pieces import run_in_pieces
from ..tensors import empty, inner, place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


@TARGETS
def test_largest_sum(target):
    """All channels equal: the sum is 2^30 by the table's construction."""
    src, dst = Layout(1, 1, 1, 1024, 1024, "i16"), Layout(1, 1, 1, 1024, 1024, "f32")
    spec = SoftmaxSpec(src=src, dst=dst)
    for value in (-32768, 32767):
        x = np.full((1, 1, 1, 1024), value, np.int16)
        got = run_in_pieces(spec, target, dst, x=place(x, src), w=table(65536, 1024, 1e-4))
        np.testing.assert_array_equal(got, np.float32(1 / 1024))


@TARGETS
@pytest.mark.parametrize("dtypes", [("f32", "f32"), ("u8", "f32"), ("i16", "u8")])
def test_padding_channels_become_zero(target, dtypes):
    src, dst = Layout(1, 2, 3, 21, 32, dtypes[0]), Layout(1, 2, 3, 21, 48, dtypes[1])
    x = random_values(np.random.default_rng(0), src)
    out = empty(dst)
    s, e = aligned(np.array([255, 0, 255, 0], np.float32)), aligned(table(65536, 21, 1e-3))
    run_kernel(SoftmaxSpec(src=src, dst=dst), target, x=place(x, src), w=e, s=s, o=out)
    assert not inner(out, dst)[..., 21:].any()
    assert inner(out, dst)[..., :21].any()


def test_float_source_has_no_integer_result():
    spec = SoftmaxSpec(src=Layout(1, 1, 1, 16, 16, "f32"), dst=Layout(1, 1, 1, 16, 16))
    with pytest.raises(UnsupportedOperation, match="no softmax kernel from f32 to u8"):
        prim_func(spec, runnable_targets()[0])
