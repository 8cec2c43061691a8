"""Integer types of any width: ``u8``, ``i4``, ``u1``, ``b1``, ``i16`` ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowbit.errors import ConfigError

__all__ = ["WIDTHS", "QType"]

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 16)


@dataclass(frozen=True)
class QType:
    """A set of integers {qmin, ..., qmax} and the bit field that stores one of them.

    ==============  =====================  ==========================
    text            values                 field stored for q
    ==============  =====================  ==========================
    ``u<n>``        0 .. 2^n - 1           q
    ``u<n>:<top>``  0 .. top               q
    ``i<n>``        -2^(n-1) .. 2^(n-1)-1  q mod 2^n (two's complement)
    ``b1``          {-1, +1}               (q + 1) / 2
    ==============  =====================  ==========================

    ``i1`` would be {-1, 0}: a network of such weights cannot be positive, so it is refused.  ``top``: largest integer of an
    unsigned type that ends below 2^n - 1 and needs its n bits all the same, as ``u8:240``; None: 2^n - 1.
    """

    bits: int
    signed: bool
    bipolar: bool = False
    top: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.bits, int) or self.bits not in WIDTHS:
            raise ConfigError(f"no {self.bits}-bit integer type; widths are 1..8 and 16")
        if self.bipolar and (self.bits != 1 or not self.signed):
            raise ConfigError("only 1 bit is bipolar: b1 = {-1, +1}")
        if self.bits == 1 and self.signed and not self.bipolar:
            raise ConfigError("i1 would be {-1, 0}, which is never positive; use b1 = {-1, +1} or u1 = {0, 1}")
        if self.top is not None:
            low, high = 1 << (self.bits - 1), (1 << self.bits) - 1
            if self.signed or not low <= self.top <= high:
                raise ConfigError(f"{self}: only unsigned types end early, u{self.bits} at {low}..{high}")
            if self.top == high:
                object.__setattr__(self, "top", None)

    @classmethod
    def parse(cls, text: str | QType) -> QType:
        """``QType.parse("u8")``.  Raises ConfigError naming the allowed forms."""
        if isinstance(text, QType):
            return text
        match = re.fullmatch(r"([uib])(\d+)(?::(\d+))?", str(text).strip().lower())
        if match is None:
            raise ConfigError(f"{text!r} is not an integer type; write u1..u8, i2..i8, b1, u16, i16, or u8:240 for 0..240")
        kind, bits = match[1], int(match[2])
        return cls(bits, kind != "u", kind == "b", None if match[3] is None else int(match[3]))

    def __str__(self) -> str:
        end = "" if self.top is None else f":{self.top}"
        return f"{'b' if self.bipolar else 'i' if self.signed else 'u'}{self.bits}{end}"

    __repr__ = __str__

    @property
    def whole(self) -> QType:
        """The type of the same field that leaves out nothing."""
        return self if self.top is None else QType(self.bits, self.signed)

    @cached_property
    def qmin(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @cached_property
    def qmax(self) -> int:
        if self.bipolar:
            return 1
        if self.top is not None:
            return self.top
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @cached_property
    def dtype(self) -> np.dtype:
        """The smallest numpy integer type that holds every value."""
        return np.dtype(f"{'int' if self.signed else 'uint'}{8 if self.bits <= 8 else 16}")

    def clamp(self, values: np.ndarray) -> np.ndarray:
        """Nearest value of the type; for ``b1`` the sign, with sign(0) = +1."""
        if self.bipolar:
            return np.where(np.asarray(values) >= 0, 1, -1)
        return np.clip(values, self.qmin, self.qmax)

    def fields(self, values: np.ndarray) -> np.ndarray:
        """Values -> unsigned bit fields (see the table above), as uint16."""
        q = np.asarray(values).astype(np.int64)
        if self.bipolar:
            q = (q + 1) >> 1
        return (q & ((1 << self.bits) - 1)).astype(np.uint16)

    def values(self, fields: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`fields`, in :attr:`dtype`."""
        f = np.asarray(fields).astype(np.int64)
        if self.bipolar:
            f = 2 * f - 1
        elif self.signed:
            f = np.where(f >= 1 << (self.bits - 1), f - (1 << self.bits), f)
        return f.astype(self.dtype)
