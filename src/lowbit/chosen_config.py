"""What the arguments of a verb mean as a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lowbit.errors import ConfigError
from lowbit.numerics import QType
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.targets import Target

__all__ = ["asks_for_half", "check_half", "chosen_config", "make_config"]


def make_config(
    weights: str | QType | None = None,
    activations: str | QType | None = None,
    *,
    layers: Mapping[str, str | LayerPrecision] | None = None,
    **options: Any,
) -> QuantizationConfig | None:
    """The configuration that ``compile``'s keywords mean; None = float32.

    ``weights`` alone gets activations u8 (i16 for 16-bit weights); ``activations`` alone gets weights i8.
    ``layers``: pattern -> "i4/u8" (weights/activations) or LayerPrecision.
    """
    if layers is not None and not isinstance(layers, Mapping):
        raise ConfigError(
            f'layers is {type(layers).__name__}; write a dict of patterns to precisions, such as {{"layer1.*": "i8/u8"}}'
        )
    if weights is None and activations is None:
        if layers or options:
            given = ", ".join([*options, *(["layers"] if layers else [])])
            raise ConfigError(f"{given} given without weights or activations: a float network has no quantization options")
        return None
    known = [f.name for f in fields(QuantizationConfig) if f.name not in ("weights", "activations", "overrides")]
    if unknown := [option for option in options if option not in known]:
        raise ConfigError(f"unknown option {', '.join(unknown)}; the options of a quantization are {', '.join(known)}")
    w = QType.parse(weights) if weights is not None else QType.parse("i8")
    a = QType.parse(activations) if activations is not None else QType.parse("i16" if w.bits == 16 else "u8")
    return QuantizationConfig(w, a, overrides={p: LayerPrecision.parse(value) for p, value in (layers or {}).items()}, **options)


def asks_for_half(config: object) -> bool:
    """Whether a configuration's short form is that of float16."""
    from lowbit.quantization import FP16

    return isinstance(config, str) and config.strip().lower() == FP16


def check_half(target: Target, **others: object) -> None:
    """Raises ConfigError for a target that has no float16, and for what makes no sense beside it: ``others`` by name."""
    from lowbit.targets import TARGETS

    if not target.arch:
        gpus = ", ".join(name for name, known in TARGETS.items() if known.arch)
        raise ConfigError(f"fp16 is for GPUs ({gpus}), not for {target.name}; there write fp32, or integers such as 8/int8")
    if given := [name for name, value in others.items() if value]:
        raise ConfigError(f"fp16 has no numbers to choose: leave out {', '.join(given)}")


def chosen_config(
    config: QuantizationConfig | str | None,
    weights: str | QType | None,
    activations: str | QType | None,
    layers: Mapping[str, str | LayerPrecision] | None,
    options: Mapping[str, Any],
) -> QuantizationConfig | None:
    """The configuration that these arguments of :func:`compile` mean together."""
    from lowbit.quantization import parse_config

    if config is not None and (weights is not None or activations is not None or layers or options):
        raise ConfigError("give either config or weights/activations/layers/options, not both")
    if isinstance(config, str):
        return parse_config(config)
    if config is None:
        return make_config(weights, activations, layers=layers, **options)
    if not isinstance(config, QuantizationConfig):
        raise ConfigError(f'config is text such as "4/int8" or a QuantizationConfig, not {config!r}')
    return config
