"""Two products in one multiplication (Winograd, "A new algorithm for inner product", 1968, equation 1).

    (a + v)(b + u) = a u + b v + a b + u v

with inputs a, b and weights u (of a), v (of b).  The sum of a b belongs to the pixel and is found once for all output
channels (PackPairsSpec); the sum of u v belongs to the channel and goes into the bias.  An addition is cheaper than a
multiplication where the CPU has more units for it: half the multiplications, two additions each.

For bytes, a + v must be unsigned and b + u signed: a is stored as a + first and b as b - second.
"""

from __future__ import annotations

import numpy as np

from lowbit.kernels.forms import Form

__all__ = ["PAIRS", "pair_constants", "pair_offsets"]

PAIRS = ("u8_vnni_pairs", "i16_maddwd_pairs")


def pair_offsets(form: Form, weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
    """(first, second) with which every a + first + v and b - second + u fits; None where there are none."""
    low, high = min(int(weights.min(initial=0)), 0), max(int(weights.max(initial=0)), 0)
    if form.element == "i16":
        return 0, 0
    if act_max + high - low > 255:
        return None
    return -low, max(0, act_max + high - 127)


def pair_constants(weights: np.ndarray, group: int, first: int, second: int) -> np.ndarray:
    """int64[N]: what the products hold beside a u + b v and the pixel's part, for weights (N, kh, kw, c), c a
    multiple of 2 * group: sum of first * u - second * v + u v."""
    w = np.asarray(weights, np.int64)
    u, v = np.moveaxis(w.reshape(w.shape[0], -1, 2, group), 2, 0)
    return (first * u - second * v + u * v).sum((1, 2))
