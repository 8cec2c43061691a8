"""The integers of a layer, rounded once for every (weights, types, scale of its input) and remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from lowbit.numerics import QParams
from lowbit.quantization import QuantizationConfig
from lowbit.quantization.layer_numbers import quantize_parameters
from lowbit.searching.memory import BYTES, Memory

__all__ = ["RememberedRounding"]


class RememberedRounding:
    """``quantize_parameters`` for plans of a search, which share most of their layers.

    ``limit``: bytes of integers that are remembered."""

    def __init__(self, limit: int = BYTES) -> None:
        self._memory: Memory[tuple[np.ndarray, QParams, np.ndarray]] = Memory(limit)

    def __call__(
        self, config: QuantizationConfig, w: np.ndarray, bias: np.ndarray, x: QParams, *more: Any
    ) -> tuple[np.ndarray, QParams, np.ndarray]:
        read = tuple(map(_key, (w, bias, x.scale, *more)))
        key = (read, x.qtype, x.zero_point, x.container, config.scale, config.granularity)
        return self._memory.get(key, lambda: quantize_parameters(config, w, bias, x, *more), lambda made: made[0].nbytes)


def _key(value: Any) -> Hashable:
    if not isinstance(value, np.ndarray):
        return value  # type: ignore[no-any-return]
    return value.dtype.str, value.shape, hashlib.blake2b(np.ascontiguousarray(value).data).digest()
