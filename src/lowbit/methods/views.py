"""Calibration images seen anew: random parts of them, flipped and not, so that few images go a long way.

Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6, for random parts of random size.  No label is needed: what
the float network gives for the same view is what the quantized one shall give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Views"]

_LEAST_SIDE = 8  # a rank-4 input with a shorter side is no image


@dataclass(frozen=True)
class Views:
    """``part``: the least share of an image's area that is shown, 1 for all of it; ``aspect``: width over height of a part, as a
    share of the image's own, lies in 1/aspect .. aspect; ``flip``: probability of the mirror image.

    Parts are brought back to the size of the image by bilinear interpolation, so that values stay in their range."""

    part: float = 0.4
    aspect: float = 4 / 3
    flip: float = 0.5

    def __call__(self, inputs: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """A view of each row.  Inputs (N, C, H, W) of at least 8 by 8 are images, all of a row seen alike; others stay as they
        are.  Equal generators give equal views."""
        rows = len(inputs[0])
        if not any(_is_image(value) for value in inputs):
            return list(inputs)
        area, aspect, x, y, mirror = torch.rand(5, rows, generator=generator)
        area = 1 - (1 - self.part) * area
        stretch = torch.exp((2 * aspect - 1) * math.log(self.aspect) / 2)
        width, height = ((area.sqrt() * side).clamp(max=1.0) for side in (stretch, 1 / stretch))
        across = torch.where(mirror < self.flip, -width, width)
        theta = torch.zeros(rows, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = across, height
        theta[:, 0, 2], theta[:, 1, 2] = (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)
        return [_seen(value, theta) if _is_image(value) else value for value in inputs]


def _is_image(value: Tensor) -> bool:
    return value.dim() == 4 and min(value.shape[2:]) >= _LEAST_SIDE


def _seen(image: Tensor, theta: Tensor) -> Tensor:
    """(N, C, H, W) under affine maps (N, 2, 3) from the places of the result to those of the image, both in -1..1."""
    grid = F.affine_grid(theta.to(image.dtype), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
