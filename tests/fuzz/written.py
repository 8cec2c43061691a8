"""Activation functions written out, and what is nearly one: another constant, another operand, a step that is read elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.fuzz.program import Ref

if TYPE_CHECKING:
    from tests.fuzz.modules import Generator

__all__ = ["write_activation"]


def write_activation(g: Generator) -> None:
    """Some statements that compute f(x), or nearly."""
    x = g.pick(lambda value: value.numel() > 1)
    gate = g.draws.choose(_GATES)(g, x)
    if g.draws.chance(15):  # read elsewhere, too
        g.append("abs.default", (gate,), {})
    if g.draws.chance(75):
        other = x
        if g.draws.chance(15):  # of two values
            shape = g.value(x).shape
            other = g.pick(lambda value: value.shape == shape)
        gate = g.append("mul.Tensor", (other, gate) if g.draws.chance(50) else (gate, other), {})
    if g.draws.chance(40):
        gate = g.append("mul.Scalar", (gate, g.draws.choose((0.5, 1 / 6, 2.0, 0.999, -1.0))), {})
    if g.draws.chance(15):
        g.append("clamp.default", (gate, None, g.draws.choose((6.0, 0.5))), {})


def _scaled(g: Generator, x: Ref, factors: Sequence[float]) -> Ref:
    """x, or a multiple of it; the first factor is the one without which another function comes out."""
    factor = factors[0] if not g.draws.chance(25) else g.draws.choose(factors)
    return x if factor == 1 else g.append("mul.Scalar", (x, factor), {})


def _hard(g: Generator, x: Ref) -> Ref:
    """relu6(x + 3) / 6, and x / 6 + 1 / 2 between 0 and 1."""
    bounds = (0, 6) if not g.draws.chance(25) else g.draws.choose(((0, 5.99), (0.01, 6), (None, 6), (0, None)))
    if g.draws.chance(40):
        line = g.append("add.Scalar", (g.append("div.Scalar", (x, 6), {}), g.draws.choose((0.5, 0.5, 0.51))), {})
        return g.append("clamp.default", (line, 0, 1), {})
    line = g.append("add.Scalar", (x, g.draws.choose((3, 3, 3, 2.99))), {})
    gate = g.append("clamp.default", (line, *bounds), {})
    return g.append("div.Scalar", (gate, 6), {}) if g.draws.chance(50) else gate


def _sigmoid(g: Generator, x: Ref) -> Ref:
    x = _scaled(g, x, (1, 1.702, 1.001, -1))
    if g.draws.chance(60):
        return g.append("sigmoid.default", (x,), {})
    power = g.append("exp.default", (g.append("neg.default", (x,), {}),), {})
    return g.append("reciprocal.default", (g.append("add.Scalar", (power, g.draws.choose((1, 1, 1.01))), {}),), {})


def _error(g: Generator, x: Ref) -> Ref:
    """1 + erf(x / sqrt 2)"""
    y = g.append("erf.default", (_scaled(g, x, (0.7071067811865476, 0.7, 1)),), {})
    return g.append("add.Scalar", (y, g.draws.choose((1, 1, 0.99))), {})


def _cube(g: Generator, x: Ref) -> Ref:
    """1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))"""
    cube = g.append("mul.Scalar", (g.append("pow.Tensor_Scalar", (x, 3), {}), g.draws.choose((0.044715, 0.044715, 0.05))), {})
    inner = g.append("mul.Scalar", (g.append("add.Tensor", (x, cube), {}), 0.7978845608028654), {})
    return g.append("add.Scalar", (g.append("tanh.default", (inner,), {}), 1), {})


def _mish(g: Generator, x: Ref) -> Ref:
    return g.append("tanh.default", (g.append("softplus.default", (_scaled(g, x, (1, 1.01)),), {}),), {})


def _softsign(g: Generator, x: Ref) -> Ref:
    below = g.append("add.Scalar", (g.append("abs.default", (x,), {}), g.draws.choose((1, 1, 1.01))), {})
    return g.append("reciprocal.default", (below,), {})


_GATES: tuple[Callable[[Generator, Ref], Ref], ...] = (_hard, _sigmoid, _error, _cube, _mish, _softsign)
