"""Which scales are allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lowbit.errors import ConfigError

__all__ = ["FixedPoint", "FloatScale", "GlobalScale", "PowerOfTwo", "ScaleMode", "parse_scale"]


class ScaleMode:
    """How a scale follows from the values it shall hold."""

    def dictated(self, bits: int) -> float | None:
        """The scale of every value of this width, whatever they are; None if they decide."""
        return None

    def rounded_up(self, scale: float) -> float:
        """The least allowed scale that is not below ``scale``."""
        return scale


@dataclass(frozen=True)
class FloatScale(ScaleMode):
    """Any float32."""

    def __str__(self) -> str:
        return "float"


@dataclass(frozen=True)
class PowerOfTwo(ScaleMode):
    """2^k."""

    def rounded_up(self, scale: float) -> float:
        return float(2.0 ** math.ceil(math.log2(scale)))

    def __str__(self) -> str:
        return "power_of_two"


@dataclass(frozen=True)
class FixedPoint(ScaleMode):
    """2^-fraction, symmetric signed: the (width, frac_width) of MASE.  ``fraction`` in -64..64."""

    fraction: int

    def __post_init__(self) -> None:
        if type(self.fraction) is not int or not -64 <= self.fraction <= 64:
            raise _unknown(str(self))

    def dictated(self, bits: int) -> float:
        return float(2.0**-self.fraction)

    def __str__(self) -> str:
        return f"fixed:{self.fraction}"


@dataclass(frozen=True)
class GlobalScale(ScaleMode):
    """range / 2^(bits-1), symmetric signed: TVM's global_scale.  ``range`` positive and finite."""

    range: float

    def __post_init__(self) -> None:
        if type(self.range) not in (int, float) or not 0 < self.range < math.inf:
            raise _unknown(str(self))

    def dictated(self, bits: int) -> float:
        return float(self.range / 2 ** (bits - 1))

    def __str__(self) -> str:
        return f"global:{self.range}"


def parse_scale(text: str | ScaleMode) -> ScaleMode:
    """``"fixed:8"`` -> FixedPoint(8).  Raises ConfigError naming the allowed forms."""
    if not isinstance(text, str):
        return text
    for mode in (FloatScale(), PowerOfTwo()):
        if text == str(mode):
            return mode
    kind, _, number = text.partition(":")
    try:
        if kind == "fixed":
            return FixedPoint(int(number))
        if kind == "global":
            return GlobalScale(float(number))
    except ValueError:  # ConfigError is one
        pass
    raise _unknown(text)


def _unknown(text: str) -> ConfigError:
    return ConfigError(f"scale {text!r}; write float, power_of_two, fixed:<fraction bits> or global:<range>")
