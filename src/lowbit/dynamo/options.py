"""What ``torch.compile(..., options=...)`` may say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lowbit.chosen_config import chosen_config
from lowbit.errors import ConfigError
from lowbit.quantization import Calibration, QuantizationConfig

__all__ = ["Options", "options_of"]

_PRECISION = ("config", "weights", "activations", "layers")
_COMPILE = ("threads", "method", "seconds", "target", "tune", "tuning", "float")


@dataclass(frozen=True)
class Options:
    """``config``: None for float32.  ``samples``: inputs of the model that calibrate it; without them what the first ``observe``
    calls give does, which run in torch.  ``limit``: how many shapes of a graph are compiled.  ``compile``: further arguments
    of lowbit.compile."""

    config: QuantizationConfig | None = None
    samples: tuple[Any, ...] = ()
    observe: int = 1
    limit: int = 8
    progress: bool | None = None
    compile: Mapping[str, Any] = field(default_factory=dict)


def options_of(given: Mapping[str, Any] | None) -> Options:
    """Checked.  Raises ConfigError for what no option is, listing them, and what the options themselves raise."""
    given = dict(given or {})
    known = (*_PRECISION, "calibration", "observe", "limit", "progress", *_COMPILE)
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"backend lowbit has no option {', '.join(map(repr, unknown))}; its options are {', '.join(known)}")
    config = chosen_config(given.get("config"), given.get("weights"), given.get("activations"), given.get("layers"), {})
    for name, least in (("observe", 1), ("limit", 0)):
        value = given.get(name, least)
        if type(value) is not int or value < least:
            raise ConfigError(f"option {name} is a whole number from {least} on, not {value!r}")
    return Options(
        config,
        _samples(given.get("calibration")),
        given.get("observe", Options.observe),
        given.get("limit", Options.limit),
        given.get("progress"),
        {name: given[name] for name in _COMPILE if name in given},
    )


def _samples(calibration: Iterable[Any] | Calibration | None) -> tuple[Any, ...]:
    """Inputs themselves: what a Calibration saw of the module's graph says nothing of the graphs that Dynamo makes of it."""
    if calibration is None:
        return ()
    if isinstance(calibration, Calibration):
        if not calibration.samples:
            raise ConfigError("option calibration kept no samples: calibrate with keep= above 0, or give the samples themselves")
        return tuple(zip(*calibration.samples, strict=True))
    if isinstance(calibration, (str, bytes)) or not isinstance(calibration, Iterable):
        raise ConfigError(f"option calibration is an iterable of samples or a Calibration, not {type(calibration).__name__}")
    return tuple(calibration)
