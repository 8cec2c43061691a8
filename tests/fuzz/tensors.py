"""Constants as expressions: what a case computes with is what its text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.fuzz.draws import Draws

__all__ = ["Hiding", "Mask", "Places", "Positions", "Recipe", "Shown", "draw_inputs", "draw_recipe"]

_NORMAL = "torch.randn({shape}, generator=torch.Generator().manual_seed({seed}))"

KINDS: dict[str, str] = {
    "normal": _NORMAL,
    "small": _NORMAL + " * 0.125",
    "uniform": "torch.rand({shape}, generator=torch.Generator().manual_seed({seed}))",
    "constant": "torch.full({shape}, {seed} / 8 - 1)",
    "zeros": "torch.zeros({shape})",
    "steps": "torch.randint(-4, 5, {shape}, generator=torch.Generator().manual_seed({seed})) * 0.25",
    "signs": _NORMAL + ".sign()",
    "sparse": _NORMAL + ".relu().sub(1).relu()",
    "denormal": _NORMAL + " * 1e-41",
    "tiny": _NORMAL + " * 1e-9",
    "huge": _NORMAL + " * 1e6",
    "outlier": _NORMAL + ".pow(5)",
    "dead": _NORMAL + " * (torch.arange({first}) % 2).reshape([-1] + [1] * (len({shape}) - 1))",
}
"""Kind -> expression of shape, seed and the first extent."""

COMMON = ("normal", "normal", "normal", "small", "uniform", "steps", *KINDS)

_INPUTS = ("normal", "normal", "normal", "uniform", "steps", "sparse", "outlier")


@dataclass(frozen=True)
class Recipe:
    """A float32 tensor by name of its kind."""

    kind: str
    shape: tuple[int, ...]
    seed: int

    @property
    def text(self) -> str:
        kind = "normal" if self.kind == "dead" and not self.shape else self.kind
        return KINDS[kind].format(shape=self.shape, seed=self.seed, first=self.shape[0] if self.shape else 1)

    def make(self) -> Tensor:
        made: Tensor = eval(self.text, {"torch": torch, "float": float})  # our own words
        return made.to(torch.float32)

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Positions(Recipe):
    """An int64 tensor of these values."""

    values: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return f"torch.tensor({list(self.values)}).reshape({self.shape})"

    def make(self) -> Tensor:
        return torch.tensor(self.values).reshape(self.shape)


@dataclass(frozen=True, repr=False)
class Places(Recipe):
    """An int64 tensor of positions below ``size``."""

    size: int = 1

    @property
    def text(self) -> str:
        return f"torch.randint({max(self.size, 1)}, {self.shape}, generator=torch.Generator().manual_seed({self.seed}))"

    def make(self) -> Tensor:
        made: Tensor = eval(self.text, {"torch": torch})  # our own words
        return made


@dataclass(frozen=True, repr=False)
class Mask(Recipe):
    """A bool tensor."""

    @property
    def text(self) -> str:
        return f"(torch.rand({self.shape}, generator=torch.Generator().manual_seed({self.seed})) > 0.5)"

    def make(self) -> Tensor:
        made: Tensor = eval(self.text, {"torch": torch})  # our own words
        return made


@dataclass(frozen=True, repr=False)
class Shown(Mask):
    """A bool tensor, true in the first column."""

    @property
    def text(self) -> str:
        return super().text + ".index_fill(-1, torch.tensor(0), True)"


@dataclass(frozen=True, repr=False)
class Hiding(Recipe):
    """0 where :class:`Shown` is true, else -inf or a number that hides as well."""

    @property
    def text(self) -> str:
        depth = ('-float("inf")', "-3.4e38", "-1e4")[self.seed % 3]
        return f"torch.zeros({self.shape}).masked_fill(~{Shown('shown', self.shape, self.seed).text}, {depth})"


def draw_recipe(draws: Draws, shape: Any, kinds: tuple[str, ...] = COMMON) -> Recipe:
    return Recipe(draws.choose(kinds), tuple(int(n) for n in shape), draws.integer(0, 31))


def draw_inputs(draws: Draws, shapes: Any) -> list[Recipe]:
    """What a network is calibrated on and run with: mostly ordinary."""
    return [draw_recipe(draws, shape, _INPUTS) for shape in shapes]
