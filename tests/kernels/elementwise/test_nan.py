"""NaN is not turned into a number, and that costs no instruction."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lowbit.backend.codegen import generate
from lowbit.kernels.elementwise.functions import FUNCTIONS
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.elementwise.spec import BinarySpec, UnarySpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.pool.spec import PoolSpec
from lowbit.targets import TARGETS as ALL

from ..distinct_targets import distinct_targets
from ..pieces import run_in_pieces
from ..tensors import place

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)
LAYOUT = Layout(1, 1, 4, 16, 16, "f32")


def _values() -> np.ndarray:
    values = np.arange(-32, 32, dtype=np.float32).reshape(1, 1, 4, 16)
    values[..., 3] = np.nan
    return values


@TARGETS
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_functions(target, fn):
    s = np.array([{"lo": -1.5, "hi": 2.25}.get(name, 0.5) for name, _ in PARAMETERS.get(fn, ())], np.float32)
    got = run_in_pieces(
        UnarySpec(fn=fn, src=LAYOUT, dst=LAYOUT), target, LAYOUT, x=place(_values(), LAYOUT), s=s if s.size else None
    )
    assert np.isnan(got[..., 3]).all()
    if fn not in ("log", "log1p", "sqrt", "rsqrt", "pow"):
        assert np.isfinite(np.delete(got, 3, -1)).mean() > 0.9


@TARGETS
@pytest.mark.parametrize(("lo", "hi"), [(-np.inf, np.inf), (0, np.inf), (0, 6)])
@pytest.mark.parametrize("fn", ["add", "mul", "affine"])
def test_fused_clamps(target, fn, lo, hi):
    ones = np.ones((1, 1, 4, 16), np.float32)
    other = {"w": ones[0, 0, 0], "b": ones[0, 0, 0]} if fn == "affine" else {"r": place(ones, LAYOUT)}
    spec = BinarySpec(fn=fn, src=LAYOUT, other=None if fn == "affine" else LAYOUT, dst=LAYOUT)
    s = np.array([lo, hi, *[0] * 7], np.float32)
    got = run_in_pieces(spec, target, LAYOUT, x=place(_values(), LAYOUT), s=s, **other)
    np.testing.assert_array_equal(got, np.clip(_values() * ones if fn == "mul" else _values() + ones, lo, hi))


@TARGETS
@pytest.mark.parametrize("where", range(4))
def test_maxima(target, where):
    """NaN first, last and between: it stays."""
    x, dst = np.arange(64, dtype=np.float32).reshape(1, 1, 4, 16), Layout(1, 1, 1, 16, 16, "f32")
    x[:, :, where, 5] = np.nan
    got = run_in_pieces(
        PoolSpec(fn="max", src=LAYOUT, dst=dst), target, dst, x=place(x, LAYOUT), t=np.array([0, 1, 0, 4], np.int32)
    )
    np.testing.assert_array_equal(got, x.max(2, keepdims=True))


@pytest.mark.parametrize("name", ["x86-64", "x86-64-v3", "x86-64-v4", "aarch64"])
def test_a_clamp_is_two_instructions(name):
    if name not in ALL:
        pytest.skip(f"no target {name}")
    asm = generate(UnarySpec(fn="clamp", src=LAYOUT, dst=LAYOUT), ALL[name]).asm
    low, high, other = (
        ("fmax", "fmin", r"fcm|bsl|bif|bit\s") if name == "aarch64" else ("maxps", "minps", r"cmp\w*ps|blend|and\w*ps")
    )
    assert len(re.findall(rf"\bv?{low}\b", asm)) == len(re.findall(rf"\bv?{high}\b", asm)) > 0
    assert not re.findall(rf"\bv?(?:{other})", asm)
