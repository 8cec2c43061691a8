"""Every error lowbit raises on purpose.  A message says what, where, and what is allowed."""

from __future__ import annotations

import sys
import warnings

__all__ = [
    "ArtifactError",
    "CalibrationError",
    "CalibrationWarning",
    "ChoiceError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "GraphError",
    "InputError",
    "LowbitError",
    "NumericsError",
    "PrecisionWarning",
    "ToolMissing",
    "UnknownTarget",
    "UnsupportedOperation",
    "UnsupportedPrecision",
    "warn",
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
    """Calibration data is empty, has the wrong shape, is not finite, or was seen by another network."""


class CalibrationWarning(UserWarning):
    """Calibration data from which no useful range follows: a value that never varied, ..."""


class PrecisionWarning(CalibrationWarning):
    """On calibration data, rounding loses much of the signal: the message names the layers and what would help."""


class ChoiceError(LowbitError, ValueError):
    """Integers or scales given for a network that lack some of it, belong to another, or have another shape."""


class GraphError(LowbitError):
    """A graph broke one of its invariants; raised by the verifier between passes."""


class ConfigError(LowbitError, ValueError):
    """An unknown configuration, option or name; the message lists the allowed ones."""


class DataError(LowbitError, ValueError):
    """Labelled data that is missing or cannot be right: the message names the file or the sample."""


class DataWarning(UserWarning):
    """Labelled data that looks wrong: few samples, missing classes, inputs that were normalized another way, ..."""


class UnknownTarget(ConfigError):
    """A target name that is not in the table of targets."""


class InputError(LowbitError, ValueError):
    """A run-time input of the wrong shape or dtype."""


class ToolMissing(LowbitError):
    """A program lowbit needs (a C compiler, objdump, ...) is not installed."""


class ArtifactError(LowbitError):
    """A file is not a lowbit artifact, or is truncated, altered, or made for another machine."""


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line outside lowbit that called, however deep inside this is."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "lowbit":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
