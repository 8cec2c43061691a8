"""Elementwise functions of one variable, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

__all__ = ["UNARY", "apply_unary", "function_of"]

_erf_of_object = np.frompyfunc(math.erf, 1, 1)
_SQRT_HALF = math.sqrt(0.5)
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(_erf_of_object(x), np.float64)


def _softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x * _SQRT_HALF))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 3, 0, 6) / 6


UNARY: dict[str, Callable[..., np.ndarray]] = {
    "abs": np.abs,
    "cos": np.cos,
    "elu": _elu,  # attr alpha
    "erf": _erf,
    "exp": np.exp,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda x: x * _hardsigmoid(x),
    "leaky_relu": lambda x, alpha=0.01: np.where(x >= 0, x, alpha * x),
    "log": np.log,
    "log1p": np.log1p,
    "logsigmoid": lambda x: -_softplus(-x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "neg": np.negative,
    "pow": lambda x, exponent=1.0: np.power(x, exponent),
    "reciprocal": np.reciprocal,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "sigmoid": _sigmoid,
    "sign": np.sign,
    "silu": lambda x: x * _sigmoid(x),
    "sin": np.sin,
    "softplus": _softplus,  # attrs beta, threshold
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}
"""Name -> function of a float64 array; extra node attrs (alpha, beta, exponent, threshold) are keyword arguments."""


def apply_unary(fn: str, x: np.ndarray, **attrs: float) -> np.ndarray:
    """``fn(x)`` in float64.  Outside the domain (log of a negative, 1/0) numpy's NaN or Inf, silently."""
    with np.errstate(all="ignore"):
        return np.asarray(UNARY[fn](np.asarray(x, np.float64), **attrs), np.float64)


def function_of(attrs: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The function of a ``unary`` with these attributes: ``fn``, all others are its parameters."""
    parameters = {key: value for key, value in attrs.items() if key != "fn"}
    return partial(apply_unary, attrs["fn"], **parameters)
