"""Seeded inputs that look like data: smooth pictures, or plain features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["smooth_samples"]

_OCTAVES = ((64, 1.0), (16, 0.5), (4, 0.25))
"""(grid step in pixels, amplitude) of the noise that is added up, coarse to fine."""


def smooth_samples(shape: Sequence[int], seed: int) -> Tensor:
    """float32 of ``shape``.  (N, C, H, W): noise on grids of falling step, bilinear between, each
    picture of mean 0 and standard deviation 1; other shapes: independent normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    if len(shape) != 4:
        return torch.randn(tuple(shape), generator=generator)
    images = torch.zeros(tuple(shape))
    for step, amplitude in _OCTAVES:
        coarse = [max(2, size // step) for size in shape[2:]]
        noise = torch.randn((*shape[:2], *coarse), generator=generator)
        images += amplitude * F.interpolate(noise, size=tuple(shape[2:]), mode="bilinear", align_corners=False)
    deviation, mean = torch.std_mean(images, (1, 2, 3), keepdim=True)
    return (images - mean) / deviation
