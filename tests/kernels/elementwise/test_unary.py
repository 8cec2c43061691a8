"""Float functions against float64, over their domains and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.backend.codegen import prim_func
from lowbit.errors import UnsupportedOperation
from lowbit.graph.ops import UNARY, apply_unary
from lowbit.kernels.elementwise.functions import FUNCTIONS
from lowbit.kernels.elementwise.parameters import PARAMETERS
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import UnarySpec

from ..distinct_targets import distinct_targets
from ..harness import runnable_targets
from ..pieces import run_in_pieces
from ..tensors import place, random_values

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)
VALUES = {"alpha": 0.3, "beta": 2.5, "exponent": 3.0, "threshold": 20.0, "lo": -1.5, "hi": 2.25}

# 1e-6 relative of float64 (4 units in the last place are 2.4e-7 to 4.8e-7), and below the smallest normal
# float32 only its spacing
RELATIVE, ABSOLUTE = 1e-6, 2e-45
LOOSE = {"sin": 3e-8, "cos": 3e-8}  # absolute, near their zeros
REACH = {"exp": 86, "sin": 1e4, "cos": 1e4, "softplus": 30, "gelu": 12.5, "gelu_tanh": 9.0}
REACH |= dict.fromkeys(("logsigmoid", "mish", "silu", "sigmoid"), 85)


def domain(fn: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if fn in ("log", "rsqrt", "sqrt"):
        return np.concatenate([2.0 ** rng.uniform(-140, 127, 3000), rng.uniform(0.5, 2, 1096)])
    tiny, mid = rng.choice([-1, 1], 1096) * 2.0 ** rng.uniform(-60, 0, 1096), rng.uniform(-1, 1, 1000)
    if fn == "log1p":
        return np.concatenate([tiny * 0.999, rng.uniform(-0.999, 3, 2000), 2.0 ** rng.uniform(0, 100, 1000)])
    return np.concatenate([tiny, rng.uniform(-REACH.get(fn, 12), REACH.get(fn, 12), 2000), mid])


def run(fn: str, target, x: np.ndarray) -> np.ndarray:
    layout = Layout(2, 4, 8, 64, 64, "f32")
    values = np.ones(layout.elements, np.float32)
    values[: x.size] = x
    s = np.array([VALUES[name] for name, _ in PARAMETERS.get(fn, ())], np.float32)
    spec = UnarySpec(fn, layout, layout)
    got = run_in_pieces(spec, target, layout, x=place(values.reshape(2, 4, 8, 64), layout), s=s if s.size else None)
    return got.reshape(-1)[: x.size]


def expected(fn: str, x: np.ndarray) -> np.ndarray:
    if fn == "clamp":
        return np.clip(x, VALUES["lo"], VALUES["hi"]).astype(np.float64)
    return apply_unary(fn, x, **{name: float(np.float32(VALUES[name])) for name, _ in PARAMETERS.get(fn, ())})


@TARGETS
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_precision(target, fn):
    x = domain(fn).astype(np.float32)
    got, want = run(fn, target, x), expected(fn, x)
    tolerance = RELATIVE * np.abs(want) + LOOSE.get(fn, 0) + ABSOLUTE
    if fn in ("gelu", "gelu_tanh"):  # numpy's 1 + erf cancels to nothing far below zero
        tolerance += 1e-15
    if fn in ("mish", "silu", "logsigmoid", "sigmoid", "exp"):
        tolerance += 1.4e-45
    worst = np.argmax(np.abs(got - want) - tolerance)
    assert np.abs(got - want)[worst] <= tolerance[worst], (x[worst], got[worst], want[worst])


@TARGETS
@pytest.mark.parametrize(
    ("fn", "x", "y"),
    [
        ("exp", [-np.inf, -200, 89, 200, np.inf, np.nan], [0, 0, np.inf, np.inf, np.inf, np.nan]),
        ("sigmoid", [-np.inf, -200, 0, 200, np.inf], [0, 0, 0.5, 1, 1]),
        ("tanh", [-np.inf, -50, 0, 50, np.inf], [-1, -1, 0, 1, 1]),
        ("silu", [-200, 0, 200], [-0.0, 0, 200]),
        ("erf", [-np.inf, -9, 0, 9, np.inf], [-1, -1, 0, 1, 1]),
        ("gelu", [-100, 0, 100], [-0.0, 0, 100]),
        ("gelu_tanh", [-100, 0, 100], [-0.0, 0, 100]),
        ("mish", [-1000, 0, 1000], [-0.0, 0, 1000]),
        ("softplus", [-200, 1000], [0, 1000]),
        ("logsigmoid", [-1000, 200], [-1000, 0]),
        ("log", [0, 1, np.inf, -1], [-np.inf, 0, np.inf, np.nan]),
        ("log1p", [-1, 0, np.inf, -2], [-np.inf, 0, np.inf, np.nan]),
        ("sqrt", [0, 4, np.inf, -1], [0, 2, np.inf, np.nan]),
        ("rsqrt", [0, 4, np.inf], [np.inf, 0.5, 0]),
        ("reciprocal", [0, 4, np.inf], [np.inf, 0.25, 0]),
        ("sin", [0, 3e9], [0, np.nan]),
        ("elu", [-np.inf, -200, 0, np.inf], [-0.3, -0.3, 0, np.inf]),
        ("pow", [0, -2, 2.5, np.inf, -np.inf, np.nan], [0, -8, 15.625, np.inf, -np.inf, np.nan]),
        ("sign", [-np.inf, -2, 0, 3], [-1, -1, 0, 1]),
        ("hardswish", [-100, -3, 0, 3, 100], [0, 0, 0, 3, 100]),
    ],
)
def test_ends(target, fn, x, y):
    np.testing.assert_allclose(run(fn, target, np.array(x, np.float32)), np.array(y, np.float32), rtol=2e-7)


def test_every_function_of_the_graph_has_a_kernel():
    assert set(FUNCTIONS) == set(UNARY) | {"clamp"}


@TARGETS
def test_layouts(target):
    src, dst = Layout(2, 3, 5, 20, 32, "f32", top=1), Layout(2, 3, 5, 20, 48, "f32", left=1, bottom=1)
    x = random_values(np.random.default_rng(0), src)
    got = run_in_pieces(UnarySpec("neg", src, dst), target, dst, x=place(x, src))
    np.testing.assert_array_equal(got, -x)


def test_unknown_function():
    layout = Layout(1, 1, 1, 16, 16, "f32")
    with pytest.raises(UnsupportedOperation, match=r"'frobnicate'; there are: abs, "):
        prim_func(UnarySpec("frobnicate", layout, layout), runnable_targets()[0])
