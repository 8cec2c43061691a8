"""What shares a weight scale."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowbit.errors import ConfigError

__all__ = ["Granularity", "PerChannel", "PerGroup", "PerTensor", "parse_granularity"]


@dataclass(frozen=True)
class PerChannel:
    """Each output channel has its own."""

    def __str__(self) -> str:
        return "per_channel"


@dataclass(frozen=True)
class PerTensor:
    """All output channels have the same."""

    def __str__(self) -> str:
        return "per_tensor"


@dataclass(frozen=True)
class PerGroup:
    """Each output channel has one for every ``size`` input channels, in two levels (VS-Quant).  For up to 7 bits."""

    size: int

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise _unknown(str(self))

    def __str__(self) -> str:
        return f"per_group:{self.size}"


Granularity = PerChannel | PerTensor | PerGroup


def parse_granularity(text: str | Granularity) -> Granularity:
    """``"per_group:32"`` -> PerGroup(32).  Raises ConfigError naming the allowed forms."""
    if not isinstance(text, str):
        return text
    if match := re.fullmatch(r"per_group:([1-9]\d*)", text):
        return PerGroup(int(match[1]))
    for kind in (PerChannel(), PerTensor()):
        if text == str(kind):
            return kind
    raise _unknown(text)


def _unknown(text: str) -> ConfigError:
    return ConfigError(f"granularity {text!r}; write per_channel, per_tensor or per_group:<input channels>")
