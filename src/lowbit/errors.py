"""Every error lowbit raises on purpose.  A message says what, where, and what is allowed."""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "CalibrationError",
    "CalibrationWarning",
    "ConfigError",
    "GraphError",
    "InputError",
    "LowbitError",
    "NumericsError",
    "ToolMissing",
    "UnknownTarget",
    "UnsupportedOperation",
    "UnsupportedPrecision",
]


class LowbitError(Exception):
    """Base of all lowbit errors; the command line prints it as one line and exits with 2."""


class UnsupportedOperation(LowbitError):
    """The network uses an operation (or a form of it) that lowbit cannot compile."""


class UnsupportedPrecision(LowbitError):
    """No kernel exists for this pair of integer types on this target."""


class NumericsError(LowbitError, ValueError):
    """A value that quantization cannot represent: NaN or Inf weights, an impossible scale, ..."""


class CalibrationError(LowbitError, ValueError):
    """Calibration data is empty, has the wrong shape, or is not finite."""


class CalibrationWarning(UserWarning):
    """Calibration data from which no useful range follows: a value that never varied, ..."""


class GraphError(LowbitError):
    """A graph broke one of its invariants; raised by the verifier between passes."""


class ConfigError(LowbitError, ValueError):
    """An unknown configuration, option or name; the message lists the allowed ones."""


class UnknownTarget(ConfigError):
    """A target name that is not in the table of targets."""


class InputError(LowbitError, ValueError):
    """A run-time input of the wrong shape or dtype."""


class ToolMissing(LowbitError):
    """A program lowbit needs (a C compiler, objdump, ...) is not installed."""


class ArtifactError(LowbitError):
    """A file is not a lowbit artifact, or is truncated, altered, or made for another machine."""
