"""Float functions at the ends of their domains; kernels/elementwise/cases.py has the domains."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.backend.codegen import prim_func
from lowbit.errors import UnsupportedOperation
from lowbit.graph.ops import UNARY
from lowbit.kernels.elementwise.cases import parameters
from lowbit.kernels.elementwise.functions import FUNCTIONS
from lowbit.kernels.elementwise.spec import UnarySpec
from lowbit.kernels.layout import Layout

from ..distinct_targets import distinct_targets
from ..harness import runnable_targets
from ..pieces import run_in_pieces
from ..tensors import place

TARGETS = pytest.mark.parametrize("target", distinct_targets(), ids=lambda t: t.name)


def run(fn: str, target, x: np.ndarray) -> np.ndarray:
    layout = Layout(2, 4, 8, 64, 64, "f32")
    values = np.ones(layout.elements, np.float32)
    values[: x.size] = x
    s = parameters(fn)
    spec = UnarySpec(fn=fn, src=layout, dst=layout)
    got = run_in_pieces(spec, target, layout, x=place(values.reshape(2, 4, 8, 64), layout), s=s)
    return got.reshape(-1)[: x.size]


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


def test_unknown_function():
    layout = Layout(1, 1, 1, 16, 16, "f32")
    with pytest.raises(UnsupportedOperation, match=r"'frobnicate'; there are: abs, "):
        prim_func(UnarySpec(fn="frobnicate", src=layout, dst=layout), runnable_targets()[0])
