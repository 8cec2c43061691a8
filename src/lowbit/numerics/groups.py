"""Scales of groups of input channels, as a factor of every weight."""

from __future__ import annotations

import numpy as np

from lowbit.numerics.qparams import QParams

__all__ = ["expand_groups", "group_factor"]


def expand_groups(group_scale: np.ndarray, size: int, channels: int) -> np.ndarray:
    """(O, G) scales of groups of ``size`` input channels -> (O, channels): int32, the last group may be shorter."""
    return group_scale[:, np.arange(channels) // size].astype(np.int32)


def group_factor(params: QParams, shape: tuple[int, ...]) -> np.ndarray | None:
    """group_scale[c, ic // size] for weights (O, I, ...) of ``shape``, as (O, I, 1, ...) int32; None without groups."""
    if params.group_scale is None or not params.group_size:
        return None
    factor = expand_groups(params.group_scale, params.group_size, shape[1])
    return factor.reshape(shape[:2] + (1,) * (len(shape) - 2))
