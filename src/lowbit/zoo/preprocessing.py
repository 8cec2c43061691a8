"""From 8-bit pixels to what a network reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """y[c] = (pixel / divisor - mean[c]) / std[c], channels red, green, blue."""

    divisor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3) -> float32 (N, 3, H, W)."""
        scaled = pixels.astype(np.float32) / np.float32(self.divisor) - np.asarray(self.mean, np.float32)
        scaled /= np.asarray(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
