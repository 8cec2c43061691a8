"""Weights that are learned: between two integers (the rectified sigmoid of AdaRound), or real numbers that are rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowbit.methods.numbers import Cells
from lowbit.methods.simulate import round_ste

__all__ = ["Latent", "Rectified", "start", "start_latent"]

_STRETCH = 1.1, -0.1  # zeta, gamma (Louizos et al. 2018)


@dataclass(frozen=True)
class Rectified:
    """W' = step * clip(low + h(V), least, most), h(V) = clip((zeta - gamma) sigmoid(V) + gamma, 0, 1).

    Nagel et al. 2020, eq. 22 and 23."""

    v: Tensor
    low: Tensor
    step: Tensor
    least: int
    most: int

    def up(self) -> Tensor:
        """h, in 0..1, of the weights' shape."""
        zeta, gamma = _STRETCH
        return (torch.sigmoid(self.v) * (zeta - gamma) + gamma).clamp(0, 1)

    def weight(self) -> Tensor:
        return self.step * (self.low + self.up()).clamp(self.least, self.most)

    def unsettled(self, beta: float) -> Tensor:
        """mean(1 - |2 h - 1|^beta): 0 where every weight is one of the two integers (eq. 24)."""
        return (1 - (2 * self.up() - 1).abs().pow(beta)).mean()

    def steps(self) -> Tensor:
        """The integers that V has come to, as float32."""
        return (self.low + (self.up() >= 0.5)).clamp(self.least, self.most)

    def hard(self) -> Tensor:
        return self.step * self.steps()

    def integers(self, dtype: np.dtype) -> np.ndarray:
        return self.steps().detach().numpy().astype(dtype)


def start(cells: Cells, integers: np.ndarray | None = None) -> Rectified:
    """V such that low + h(V) is the exact weight; with ``integers``, the middle between it and the integer that is there, where
    that is one of its two neighbours: then what an earlier method found is where learning begins."""
    zeta, gamma = _STRETCH
    rest = torch.from_numpy(cells.exact - cells.low).clamp(0.0, 1.0)
    if integers is not None:
        chosen = torch.from_numpy(integers.astype(np.float32) - cells.low)
        rest = torch.where((chosen == 0) | (chosen == 1), (rest + chosen) / 2, rest)
    v = -torch.log((zeta - gamma) / (rest - gamma) - 1)
    step = torch.from_numpy(np.ascontiguousarray(cells.step))
    return Rectified(v.requires_grad_(), torch.from_numpy(cells.low), step, cells.least, cells.most)


@dataclass(frozen=True)
class Latent:
    """W' = step * clip(rint(V), least, most), gradients of V straight through (Bengio et al. 2013), 0 where it is clipped."""

    v: Tensor
    step: Tensor
    least: int
    most: int

    def weight(self) -> Tensor:
        return self.step * round_ste(self.v.clamp(self.least, self.most))

    def hard(self) -> Tensor:
        return self.step * torch.round(self.v.clamp(self.least, self.most))

    def integers(self, dtype: np.dtype) -> np.ndarray:
        return torch.round(self.v.detach().clamp(self.least, self.most)).numpy().astype(dtype)


_WITHIN = 0.45  # of a cell's width to either side: a latent weight starts inside the cell of its integer


def start_latent(cells: Cells, integers: np.ndarray) -> Latent:
    """V in the cell of each integer, as near to the float weight as that allows."""
    v = integers + np.clip(cells.exact - integers, -_WITHIN, _WITHIN)
    step = torch.from_numpy(np.ascontiguousarray(cells.step))
    return Latent(torch.from_numpy(v.astype(np.float32)).requires_grad_(), step, cells.least, cells.most)
