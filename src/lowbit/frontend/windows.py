"""Explicit pooling windows evaluated with torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["avg_pool", "max_pool", "min_pool", "norm_pool"]

Ranges = tuple[tuple[int, int], ...]


def _regular(ranges: Ranges, size: int) -> tuple[int, int, int, int] | None:
    """(kernel, stride, before, after) such that window k is [k*stride - before, ... + kernel) cut to
    [0, size), ``after`` the padding (negative: unread elements) behind; None for other windows."""
    out = len(ranges)
    kernel = max(stop - start for start, stop in ranges)
    strides = {ranges[-1][0] - ranges[-2][0], ranges[1][1] - ranges[0][1]} if out > 1 else {1}
    for stride in strides:
        for before in {max(kernel - ranges[0][1], 0), 0}:
            starts = [index * stride - before for index in range(out)]
            cut = tuple((max(start, 0), min(start + kernel, size)) for start in starts)
            if stride > 0 and cut == tuple(ranges):
                return kernel, stride, before, starts[-1] + kernel - size
    return None


def _windows(x: Tensor, rows: Ranges, columns: Ranges, fill: float) -> tuple[Tensor, tuple[int, int], tuple[int, int]] | None:
    """``x`` padded so that every window is whole, the kernel and the stride."""
    vertical, horizontal = _regular(rows, x.shape[2]), _regular(columns, x.shape[3])
    if vertical is None or horizontal is None:
        return None
    (kh, sh, top, bottom), (kw, sw, left, right) = vertical, horizontal
    if any((top, bottom, left, right)):
        x = F.pad(x, (left, right, top, bottom), value=fill)
    return x, (kh, kw), (sh, sw)


def max_pool(x: Tensor, rows: Ranges, columns: Ranges) -> Tensor:
    """Largest value of each window, rows x columns."""
    regular = _windows(x, rows, columns, float("-inf"))
    if regular is not None:
        return F.max_pool2d(*regular)
    x = torch.stack([x[:, :, start:stop].amax(2) for start, stop in rows], 2)
    return torch.stack([x[..., start:stop].amax(3) for start, stop in columns], 3)


def min_pool(x: Tensor, rows: Ranges, columns: Ranges) -> Tensor:
    """Smallest value of each window."""
    x = torch.stack([x[:, :, start:stop].amin(2) for start, stop in rows], 2)
    return torch.stack([x[..., start:stop].amin(3) for start, stop in columns], 3)


def norm_pool(x: Tensor, rows: Ranges, columns: Ranges) -> Tensor:
    """Euclidean length of each window."""
    return torch.sqrt(avg_pool(x * x, rows, columns, (1,) * (len(rows) * len(columns))))


def avg_pool(x: Tensor, rows: Ranges, columns: Ranges, divisors: tuple[int, ...]) -> Tensor:
    """Sum of each window over its divisor."""
    by = torch.tensor(divisors, dtype=x.dtype, device=x.device).reshape(len(rows), len(columns))
    regular = None if len(rows) * len(columns) == 1 else _windows(x, rows, columns, 0.0)
    if regular is not None:
        return F.avg_pool2d(*regular, divisor_override=1).div_(by)
    x = torch.stack([x[:, :, start:stop].sum(2) for start, stop in rows], 2)
    return torch.stack([x[..., start:stop].sum(3) for start, stop in columns], 3).div_(by)
