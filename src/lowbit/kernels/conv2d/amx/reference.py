"""Sums of products of bfloat16 as AMX makes them, bit for bit: what tdpbf16ps computes, in the order of Intel's manual, in numpy.

Every operation is made exactly in float64 and rounded once: the sum of two numbers and what it leaves behind are found (Knuth,
"The Art of Computer Programming", 4.2.2, theorem B), and a last bit that is odd wherever something is left makes the second
rounding, to float32, the right one (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

import numpy as np

from lowbit.kernels.conv2d.reference import window
from lowbit.kernels.conv2d.runs import find_runs
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.numerics.bfloat16 import SMALLEST, from_bfloat16, split

__all__ = ["add", "instruction", "sums"]

_TINY = SMALLEST - 2.0**-151  # from here on 24 bits round to SMALLEST
_VALUES = 1 << 18  # float64 at a time


def sums(spec: ConvSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """float32 (n, h, w, N) of x (n, hp, wp, C), float32 with their halo, and w (N, kh, kw, C): before bias and residual."""
    halves_of_x = [from_bfloat16(half) for half in split(x)]
    halves_of_w = [_steps(spec, from_bfloat16(half)) for half in split(w)]
    steps, columns = halves_of_w[0].shape[0], w.shape[0]
    operands = [_inputs(spec, half) for half in halves_of_x]
    total = np.zeros((spec.dst.pixels, columns), np.float32)
    size = max(1, _VALUES // (2 * columns * steps))
    for first in range(0, len(total), size):
        pixels = slice(first, first + size)
        (x_h, x_l), (w_h, w_l) = (half[pixels] for half in operands), halves_of_w
        terms = [instruction(a, b) for a, b in ((x_h, w_l), (x_h, w_h), (x_l, w_h))]
        for step in range(steps):
            for term in terms:
                total[pixels] = add(total[pixels], term[:, step])
    return total.reshape(spec.dst.n, spec.dst.h, spec.dst.w, columns)


def _inputs(spec: ConvSpec, x: np.ndarray) -> np.ndarray:
    """What the steps of each output pixel read: (pixels, steps, 32)."""
    runs = find_runs(spec, spec.k_group)
    taps = [window(spec, x, tap).reshape(spec.dst.pixels, -1) for tap in np.ndindex(*spec.kernel)]
    if runs.columns == 1:
        width = spec.kernel[1]
        taps = [np.concatenate(taps[row * width : (row + 1) * width], axis=1) for row in range(spec.kernel[0])]
    padded = [np.pad(tap, ((0, 0), (0, runs.padded - tap.shape[1]))) for tap in taps]
    return np.concatenate(padded, axis=1).reshape(spec.dst.pixels, -1, spec.k_group)


def _steps(spec: ConvSpec, w: np.ndarray) -> np.ndarray:
    """Weights in the same order: (steps, 32, N)."""
    runs = find_runs(spec, spec.k_group)
    values = w.reshape(w.shape[0], runs.count, runs.length)
    padded = np.pad(values, ((0, 0), (0, 0), (0, runs.padded - runs.length)))
    return padded.reshape(w.shape[0], -1, spec.k_group).transpose(1, 2, 0)


def instruction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What tdpbf16ps adds to its sums, float32 (pixels, steps, N): of a (pixels, steps, 32) and b (steps, 32, N), of bfloat16.
    Even and odd K apart from 0 on, then the two together."""
    a, b = (_no_denormals(operand).astype(np.float64) for operand in (a, b))
    apart = []
    for parity in range(2):
        total = np.zeros((*a.shape[:2], b.shape[-1]), np.float32)
        for k in range(parity, a.shape[2], 2):
            with np.errstate(invalid="ignore"):
                total = add(total, a[:, :, k, None] * b[:, k])
        apart.append(total)
    return add(*apart)


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float32 of x + y, each float32 or an exact product in float64, rounded once to nearest even; denormal float32 are zeros
    before and after."""
    x, y = _no_denormals(x).astype(np.float64), (_no_denormals(y) if y.dtype == np.float32 else y).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        total = x + y
        back = total - x
        left = (x - (total - back)) + (y - back)
        bits = total.view(np.int64)
        inexact = (left != 0) & np.isfinite(total) & (bits & 1 == 0)
        toward = np.where((left > 0) == (total > 0), 1, -1)  # away from zero or to it; the neighbour is odd
        odd = np.where(inexact, bits + toward, bits).view(np.float64)
        return np.where(np.abs(odd) < _TINY, np.copysign(0.0, odd), odd).astype(np.float32)


def _no_denormals(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < SMALLEST, np.copysign(values.dtype.type(0), values), values)
