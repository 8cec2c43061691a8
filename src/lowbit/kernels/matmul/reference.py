"""The kernels of matrix products in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowbit.kernels.integer_reference import integer_result
from lowbit.kernels.matmul.forms import FORMS
from lowbit.kernels.matmul.spec import MatmulPackSpec, MatmulSpec

__all__ = ["matmul", "packed"]


def _values(x: np.ndarray, step: float, shift: float) -> np.ndarray:
    return x.astype(np.int64) * int(step) + int(shift)


def packed(spec: MatmulPackSpec, x: np.ndarray, s: Sequence[float] | np.ndarray | None = None) -> np.ndarray:
    """x: stored values (n, 1, rows, columns), ``transposed`` (n, 1, columns, rows).  (n, blocks, steps, nr * group); bytes as
    uint8."""
    form = FORMS[spec.form]
    matrix = x[:, 0].transpose(0, 2, 1) if spec.transposed else x[:, 0]
    if form.bytes:
        matrix = (matrix.astype(np.int64) - 128).astype(np.int8)
    elif s is not None:
        matrix = _values(matrix, *s)
    blocks, steps = spec.dst.h, spec.dst.w
    whole = np.zeros((len(x), steps * form.group, blocks * spec.nr), form.right)
    whole[:, : spec.depth, : spec.columns] = matrix
    whole = whole.reshape(len(x), steps, form.group, blocks, spec.nr).transpose(0, 3, 1, 4, 2)
    result = np.ascontiguousarray(whole.reshape(len(x), blocks, steps, -1))
    return result.view(np.uint8) if form.bytes else result


def matmul(spec: MatmulSpec, x: np.ndarray, w: np.ndarray, s: np.ndarray) -> np.ndarray:
    """x: stored values (n, 1, M, K), w: (n, K, N) stored values, before they were packed.  The stored result (n, 1, M, N)."""
    if spec.src.dtype == "f32":
        return (x[:, 0].astype(np.float64) @ w.astype(np.float64)).astype(np.float32)[:, None] * s[0]
    acc = _values(x[:, 0], s[1], s[2]) @ _values(w, s[3], s[4])
    f = acc.astype(np.float32) * s[0]
    return integer_result(f, s[5], s[6], s[7], np.int16 if spec.dst.dtype == "i16" else np.uint8, spec.sign)[:, None]
