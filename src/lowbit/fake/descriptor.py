"""What a quantizer shall do, in the words of those who attach one."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.errors import ConfigError
from lowbit.numerics import QType
from lowbit.numerics.qtype import WIDTHS

__all__ = ["QuantDescriptor"]


@dataclass(frozen=True)
class QuantDescriptor:
    """``bits``: 1..8 or 16.  ``unsigned``: for activations, with a zero point where the tensor can be negative; weights are
    signed.  ``axis``: 0 gives each output channel of weights a scale of its own, None all the same; activations have one.
    ``amax``: largest magnitude, one number or one for each channel: scale = amax / qmax; None: from calibration.
    ``frac_width``: the scale is 2^-frac_width instead (fixed point; signed).
    ``top``: largest integer of an unsigned type that ends early, as u8:240 beside 4-bit weights.

    Raises ConfigError.
    """

    bits: int = 8
    unsigned: bool = True
    axis: int | None = None
    amax: float | tuple[float, ...] | None = None
    frac_width: int | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        if self.bits not in WIDTHS:
            raise ConfigError(f"a quantizer of {self.bits!r} bits; widths are {', '.join(map(str, WIDTHS))}")
        if self.axis not in (None, 0):
            raise ConfigError(f"a quantizer along axis {self.axis!r}; scales are per tensor (None) or per output channel (0)")
        if self.amax is not None and self.frac_width is not None:
            raise ConfigError("amax and frac_width both say what the scale is; give one")
        reach = () if self.amax is None else self.amax if isinstance(self.amax, tuple) else (self.amax,)
        if any(not 0 < value < float("inf") for value in reach):
            raise ConfigError(f"amax {self.amax}; write positive numbers")

    @classmethod
    def mase(cls, width: int, frac_width: int) -> QuantDescriptor:
        """Fixed point of ``width`` bits, ``frac_width`` of them behind the point: integers q mean q * 2^-frac_width."""
        return cls(bits=width, unsigned=False, frac_width=frac_width)

    def qtype(self, weights: bool) -> QType:
        """Weights: i<n>, b1; activations: u<n> or i<n>; 16 bits are signed."""
        if self.bits == 1 and (weights or not self.unsigned):
            return QType(1, True, bipolar=True)
        return QType(self.bits, weights or not self.unsigned or self.bits == 16, top=self.top)

    def scale(self, qtype: QType) -> float | tuple[float, ...] | None:
        """The scale that is asked for; None: from calibration."""
        if self.frac_width is not None:
            return float(2.0**-self.frac_width)
        if isinstance(self.amax, tuple):
            return tuple(value / qtype.qmax for value in self.amax)
        return None if self.amax is None else self.amax / qtype.qmax
