"""Operations that select elements or weigh neighbours, evaluated with torch: the same on real numbers and on integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["interleave", "resize", "take"]


def take(x: Tensor, attrs: Mapping[str, Any]) -> Tensor:
    """y[i, j, ...] = x[indices[0][i], indices[1][j], ...]; an axis without a list is left as it is."""
    for axis, chosen in enumerate(attrs["indices"]):
        if chosen is not None:
            x = x.index_select(axis, torch.tensor(chosen, device=x.device))
    return x


def interleave(x: Tensor, attrs: Mapping[str, Any]) -> Tensor:
    """y[n, (g, o), i, j] = x[n, (g, a, b, o), r, c] with (a, r) = rows[i], (b, c) = columns[j]."""
    (ph, pw), (n, channels, h, w) = attrs["phases"], x.shape
    held = x.reshape(n, attrs["groups"], ph, pw, -1, h, w)
    (a, r), (b, c) = (torch.tensor(attrs[axis], device=x.device).T for axis in ("rows", "columns"))
    rows = held[:, :, a, :, :, r]  # row, n, g, b, o, column
    return rows[:, :, :, b, :, c].permute(2, 3, 4, 1, 0).reshape(n, channels // (ph * pw), len(a), len(b))


def resize(x: Tensor, rows: tuple[Any, Tensor], columns: tuple[Any, Tensor]) -> Tensor:
    """y[.., i, j] = sum over a and b of row[i, a] column[j, b] x[.., r[i] + a, c[j] + b]; ``rows`` = (r, row), ``columns`` =
    (c, column), weights (results, taps) in x's dtype."""
    for axis, (starts, weights) in ((2, rows), (3, columns)):
        starts = torch.as_tensor(starts, device=x.device)
        shape = [-1 if d == axis else 1 for d in range(4)]
        x = torch.stack([x.index_select(axis, starts + k) * weights[:, k].reshape(shape) for k in range(weights.shape[1])]).sum(0)
    return x
