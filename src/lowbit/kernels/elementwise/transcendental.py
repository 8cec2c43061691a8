"""exp, log, sin, erfc ... as vector expressions, without a call to libm.

Each takes the element type it computes in.  float32 for what networks evaluate often (exp and what is
made of it, relative error below 4e-7); float64 where float32 would cancel.  Polynomials are Taylor
series on a reduced interval unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Any

from tvm.script import tirx as T

from lowbit.kernels.vectors import convert, splat, to_integer

__all__ = ["absolute", "erf", "erfc_positive", "exp", "expm1_negative", "log", "log1p", "polynomial", "sigmoid", "sine", "tanh"]

# ln 2 in two pieces; multiples of the first by whole numbers below 2^11 are exact in float32, 2^21 in float64
_LN2 = {
    "float32": (0.693359375, -2.12194440054690583e-4),
    "float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
# exp leaves the type's range outside; beyond them it is 0 and inf anyhow
_EXP_RANGE = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}
_EXP_TERMS = {"float32": 8, "float64": 12}  # |r| < 0.3466: r^8 / 8! < 6e-9, r^12 / 12! < 7e-15


def polynomial(x: Any, coefficients: list[float], dtype: str) -> Any:
    """coefficients[0] + coefficients[1] x + ..., by Horner's rule."""
    value = splat(coefficients[-1], dtype)
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + splat(coefficient, dtype)
    return value


def absolute(x: Any, dtype: str) -> Any:
    return T.call_llvm_pure_intrin(f"{dtype}x16", "llvm.fabs", x)


def _power_of_two(n: Any, dtype: str) -> Any:
    """2^n for int32 n of a normal result, by writing the exponent field."""
    if dtype == "float32":
        return T.reinterpret("float32x16", (n + splat(127, "int32")) << splat(23, "int32"))
    wide = convert(n + splat(1023, "int32"), "int64")
    return T.reinterpret("float64x16", wide << splat(T.int64(52), "int64"))


def exp(x: Any, dtype: str) -> Any:
    """e^x = 2^n e^r, n = rint(x / ln 2).  2^n is applied in two halves, so that results near the ends of
    the range (denormal, infinite) come out right.  NaN stays NaN."""
    lo, hi = _EXP_RANGE[dtype]
    x = T.Select(x < splat(lo, dtype), splat(lo, dtype), T.Select(x > splat(hi, dtype), splat(hi, dtype), x))
    n = to_integer(x * splat(1 / math.log(2), dtype))
    steps = convert(n, dtype)
    r = (x - steps * splat(_LN2[dtype][0], dtype)) - steps * splat(_LN2[dtype][1], dtype)
    value = polynomial(r, [1 / math.factorial(k) for k in range(_EXP_TERMS[dtype])], dtype)
    half = n >> splat(1, "int32")
    return value * _power_of_two(half, dtype) * _power_of_two(n - half, dtype)


def expm1_negative(x: Any) -> Any:
    """e^x - 1 for float32 x <= 0; the series near 0, where the subtraction would cancel."""
    series = x * polynomial(x, [1 / math.factorial(k + 1) for k in range(8)], "float32")
    return T.Select(x > splat(-0.35, "float32"), series, exp(x, "float32") - splat(1.0, "float32"))


def sigmoid(x: Any, dtype: str) -> Any:
    """1 / (1 + e^-x), from e^-|x| so that nothing overflows."""
    e = exp(splat(0.0, dtype) - absolute(x, dtype), dtype)
    positive = splat(1.0, dtype) / (splat(1.0, dtype) + e)
    return T.Select(x < splat(0.0, dtype), e * positive, positive)


def tanh(x: Any) -> Any:
    """float32: 1 - 2 / (e^2|x| + 1) with the sign of x; below 0.625 the odd polynomial of Cephes' tanhf."""
    size = absolute(x, "float32")
    large = splat(1.0, "float32") - splat(2.0, "float32") / (exp(size + size, "float32") + splat(1.0, "float32"))
    z = x * x
    fitted = [-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3]
    small = x + x * z * polynomial(z, fitted, "float32")
    signed = T.Select(x < splat(0.0, "float32"), splat(0.0, "float32") - large, large)
    return T.Select(size < splat(0.625, "float32"), small, signed)


def log(x: Any) -> Any:
    """Natural logarithm of float64 x (normal, or 0, or +inf; NaN for x < 0).

    x = 2^n m with sqrt(1/2) <= m < sqrt(2); log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.1716.
    """
    bits = T.reinterpret("int64x16", x)
    offset = bits - splat(T.int64(0x3FE6A09E667F3BCD), "int64")  # sqrt(1/2)
    n = convert(offset >> splat(T.int64(32), "int64"), "int32") >> splat(20, "int32")
    m = T.reinterpret("float64x16", bits - (convert(n, "int64") << splat(T.int64(52), "int64")))
    one = splat(1.0, "float64")
    s = (m - one) / (m + one)
    series = s * polynomial(s * s, [2 / (2 * k + 1) for k in range(8)], "float64")  # the next term is below 7e-14
    value = convert(n, "float64") * splat(math.log(2), "float64") + series
    zero, infinity = splat(0.0, "float64"), splat(T.float64(math.inf), "float64")
    value = T.Select(x > zero, value, T.Select(x == zero, zero - infinity, splat(T.float64(math.nan), "float64")))
    return T.Select(x == infinity, infinity, value)


def log1p(x: Any) -> Any:
    """log(1 + x) in float64; the series below 1e-4, where 1 + x would lose the digits of x."""
    series = x * polynomial(x, [(-1) ** k / (k + 1) for k in range(4)], "float64")
    return T.Select(absolute(x, "float64") < splat(1e-4, "float64"), series, log(splat(1.0, "float64") + x))


def sine(x: Any, quarter_turns: int) -> Any:
    """sin(x + quarter_turns * pi / 2) of float64 |x| < 2^30; NaN outside, where a float32 says nothing
    about the angle."""
    steps = to_integer(x * splat(2 / math.pi, "float64"))
    n = convert(steps, "float64")
    r = (x - n * splat(math.pi / 2, "float64")) - n * splat(6.123233995736766e-17, "float64")
    z = r * r
    sin = r * polynomial(z, [(-1) ** k / math.factorial(2 * k + 1) for k in range(7)], "float64")
    cos = polynomial(z, [(-1) ** k / math.factorial(2 * k) for k in range(8)], "float64")
    quadrant = steps + splat(quarter_turns, "int32")
    one = splat(1, "int32")
    value = T.Select((quadrant & one) == one, cos, sin)
    value = T.Select((quadrant & splat(2, "int32")) == splat(0, "int32"), value, splat(0.0, "float64") - value)
    known = absolute(x, "float64") < splat(float(1 << 30), "float64")
    return T.Select(known, value, splat(T.float64(math.nan), "float64"))


def _erf_series(x: Any) -> Any:
    """erf of float64 |x| < 1: the next term is below 1e-11."""
    terms = [2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(13)]
    return x * polynomial(x * x, terms, "float64")


# erfc(z) e^(z^2) / t in powers of t = 1 / (1 + z / 2), least squares at Chebyshev nodes of z >= 1; relative
# error below 3e-9
_ERFC = [
    0.28209479246, 0.282094552949, 0.246846590758, 0.1760074725, 0.0871303706082,
    -0.0261421091987, 0.0275693249886, -0.250877124528, 0.253569738986, -0.0784926186046,
]  # fmt: skip


def erfc_positive(z: Any) -> Any:
    """1 - erf(z) of float64 z >= 0, with a small relative error however small the result is."""
    t = splat(1.0, "float64") / (splat(1.0, "float64") + splat(0.5, "float64") * z)
    tail = t * polynomial(t, _ERFC, "float64") * exp(splat(0.0, "float64") - z * z, "float64")
    return T.Select(z < splat(1.0, "float64"), splat(1.0, "float64") - _erf_series(z), tail)


def erf(x: Any) -> Any:
    """The error function of float64 x."""
    size = absolute(x, "float64")
    large = splat(1.0, "float64") - erfc_positive(size)
    signed = T.Select(x < splat(0.0, "float64"), splat(0.0, "float64") - large, large)
    return T.Select(size < splat(1.0, "float64"), _erf_series(x), signed)
