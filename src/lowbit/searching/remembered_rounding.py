"""The integers of a layer, rounded once for every (weights, types, scale of its input) and remembered."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowbit.numerics import QParams, QType
from lowbit.quantization import QuantizationConfig
from lowbit.quantization.layer_numbers import quantize_parameters

__all__ = ["RememberedRounding"]

_BYTES = 256 << 20


@dataclass(eq=False)
class RememberedRounding:
    """``quantize_parameters`` for plans of a search, which share most of their layers.

    ``limit``: bytes of integers that are remembered; those asked for longest ago are forgotten first."""

    limit: int = _BYTES
    _known: OrderedDict[tuple[Any, ...], tuple[np.ndarray, QParams, np.ndarray]] = field(default_factory=OrderedDict)
    _held: int = 0

    def __call__(
        self,
        config: QuantizationConfig,
        w: np.ndarray,
        bias: np.ndarray,
        x: QParams,
        qtype: QType,
        container: int | None,
        means: np.ndarray | None = None,
    ) -> tuple[np.ndarray, QParams, np.ndarray]:
        read = (_digest(w), _digest(bias), _digest(x.scale), b"" if means is None else _digest(means))
        key = (read, x.qtype, x.zero_point, x.container, qtype, container, config.scale, config.granularity)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = quantize_parameters(config, w, bias, x, qtype, container, means)
        self._known[key] = found
        self._held += found[0].nbytes
        while self._held > self.limit:
            self._held -= self._known.popitem(last=False)[1][0].nbytes
        return found


def _digest(values: np.ndarray) -> bytes:
    values = np.ascontiguousarray(values)
    return hashlib.blake2b(values.data).digest() + f"{values.dtype}{values.shape}".encode()
