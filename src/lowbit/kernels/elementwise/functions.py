"""The table of float32 functions: one line each, vector expression -> vector expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.elementwise.transcendental import (
    absolute,
    erf,
    erfc_positive,
    exp,
    expm1_negative,
    log,
    log1p,
    sigmoid,
    sine,
    tanh,
)
from lowbit.kernels.vectors import between, convert, splat, to_integer

__all__ = ["FUNCTIONS"]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _f(value: float) -> Any:
    return splat(value, "float32")


def _d(value: float) -> Any:
    return splat(value, "float64")


def _in_float64(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, s: convert(function(convert(x, "float64")), "float32")


def _hardsigmoid(x: Any) -> Any:
    return between(x + _f(3.0), _f(0.0), _f(6.0)) * _f(1 / 6)


def _elu(x: Any, alpha: Any) -> Any:
    return T.Select(x > _f(0.0), x, alpha * expm1_negative(T.Select(x > _f(0.0), _f(0.0), x)))


def _gelu(x: Any) -> Any:
    """x times the normal distribution function, erfc(-x / sqrt 2) / 2, from the small side of 0."""
    tail = _d(0.5) * erfc_positive(absolute(x, "float64") * _d(math.sqrt(0.5)))
    return x * T.Select(x < _d(0.0), tail, _d(1.0) - tail)


def _gelu_tanh(x: Any) -> Any:
    """(1 + tanh u) / 2 = sigmoid(2u)."""
    u = _d(2 * math.sqrt(2 / math.pi)) * (x + _d(0.044715) * x * x * x)
    return x * sigmoid(u, "float64")


def _softplus(x: Any) -> Any:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), float64."""
    return T.Select(x > _d(0.0), x, _d(0.0)) + log1p(exp(_d(0.0) - absolute(x, "float64"), "float64"))


def _softplus_beta(x: Any, s: Any) -> Any:
    beta = splat(T.cast(s[0], "float64"), "float64")
    soft = convert(_softplus(convert(x, "float64") * beta) / beta, "float32")
    return T.Select(x * splat(s[0], "float32") > splat(s[1], "float32"), x, soft)


def _pow(x: Any, s: Any) -> Any:
    """x^p = e^(p log |x|) for |p| < 2^20; below 0 with the sign of (-1)^p for whole p, else NaN."""
    p = splat(T.cast(s[0], "float64"), "float64")
    size = exp(p * log(absolute(x, "float64")), "float64")
    half = p * _d(0.5)
    even, whole = convert(to_integer(half), "float64") == half, convert(to_integer(p), "float64") == p
    below = T.Select(even, size, T.Select(whole, _d(0.0) - size, splat(T.float64(math.nan), "float64")))
    return T.Select(x < _d(0.0), below, size)


def _mish(x: Any) -> Any:
    """x tanh(log(1 + e)), e = e^x; the tangent is (e^2 + 2e) / (e^2 + 2e + 2), and 1 from x = 30 on."""
    e = exp(T.Select(x < _d(30.0), x, _d(30.0)), "float64")
    above = e * (e + _d(2.0))
    return x * (above / (above + _d(2.0)))


def _sign(x: Any) -> Any:
    return T.Select(x > _f(0.0), _f(1.0), T.Select(x < _f(0.0), _f(-1.0), x))


def _sqrt(x: Any) -> Any:
    return T.call_llvm_pure_intrin("float32x16", "llvm.sqrt", x)


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "abs": lambda x, s: absolute(x, "float32"),
    "clamp": lambda x, s: between(x, splat(s[0], "float32"), splat(s[1], "float32")),
    "cos": _in_float64(lambda x: sine(x, 1)),
    "elu": lambda x, s: _elu(x, splat(s[0], "float32")),
    "erf": _in_float64(erf),
    "exp": lambda x, s: exp(x, "float32"),
    "gelu": _in_float64(_gelu),
    "gelu_tanh": _in_float64(_gelu_tanh),
    "hardsigmoid": lambda x, s: _hardsigmoid(x),
    "hardswish": lambda x, s: x * _hardsigmoid(x),
    "leaky_relu": lambda x, s: T.Select(x < _f(0.0), x * splat(s[0], "float32"), x),
    "log": _in_float64(log),
    "log1p": _in_float64(log1p),
    "logsigmoid": _in_float64(lambda x: _d(0.0) - _softplus(_d(0.0) - x)),
    "mish": _in_float64(_mish),
    "neg": lambda x, s: _f(-0.0) - x,
    "pow": lambda x, s: convert(_pow(convert(x, "float64"), s), "float32"),
    "reciprocal": lambda x, s: _f(1.0) / x,
    "rsqrt": lambda x, s: _f(1.0) / _sqrt(x),
    "selu": lambda x, s: _f(_SELU_SCALE) * _elu(x, _f(_SELU_ALPHA)),
    "sigmoid": lambda x, s: sigmoid(x, "float32"),
    "sign": lambda x, s: _sign(x),
    "silu": lambda x, s: x * sigmoid(x, "float32"),
    "sin": _in_float64(lambda x: sine(x, 0)),
    "softplus": _softplus_beta,
    "softsign": lambda x, s: x / (_f(1.0) + absolute(x, "float32")),
    "sqrt": lambda x, s: _sqrt(x),
    "square": lambda x, s: x * x,
    "tanh": lambda x, s: tanh(x),
}
"""Name -> function of (float32 x 16, buffer s).  Parameters in ``s``: see parameters.py."""
