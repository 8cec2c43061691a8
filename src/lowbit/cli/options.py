"""Texts of the command line -> values, each refused with what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowbit.errors import ConfigError
from lowbit.numerics.qtype import WIDTHS
from lowbit.quantization import LayerPrecision, QuantizationConfig, parse_config

__all__ = ["choose_config", "names", "parse_bits", "parse_input_shape", "parse_layers", "parse_numbers", "parse_shape"]


def names(text: str) -> tuple[str, ...]:
    """``"a, b,"`` -> ("a", "b")."""
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def parse_shape(text: str) -> tuple[int, ...]:
    """``"1x3x224x224"`` -> (1, 3, 224, 224)."""
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ConfigError(f"{text!r} is not a shape; write extents of at least 1 joined by x, for example 1x3x224x224")
    return shape


def parse_input_shape(text: str | None) -> tuple[int, ...] | dict[str, tuple[int, ...]] | None:
    """:func:`parse_shape`, or, for the inputs of an ONNX file by name, ``"x=1x3x224x224,y=1x8"`` -> {"x": (1, 3, 224, 224),
    "y": (1, 8)}."""
    if not text:
        return None
    if "=" not in text:
        return parse_shape(text)
    pairs = [part.rpartition("=") for part in names(text)]
    return {name.strip(): parse_shape(shape) for name, _, shape in pairs}


def parse_bits(text: str) -> tuple[int, ...]:
    """``"8,4"`` -> (8, 4).  Raises ConfigError for what is no width of lowbit's integers."""
    given = tuple(int(part) if part.isdigit() else 0 for part in names(text))
    if not given or any(bits not in WIDTHS for bits in given):
        raise ConfigError(f"--bits {text!r}: write widths joined by commas, of {', '.join(map(str, WIDTHS))}")
    return tuple(dict.fromkeys(given))


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """``"0.5,1"`` -> (0.5, 1.0)."""
    try:
        return tuple(float(part) for part in names(text))
    except ValueError:
        raise ConfigError(f"{option} {text!r}: write numbers joined by commas, such as 0.485,0.456,0.406") from None


def parse_layers(entries: Sequence[str]) -> dict[str, LayerPrecision]:
    """``["layer1.*=i8/u8", "fc=i4"]`` -> pattern -> LayerPrecision; activations may be left out.  Of a pattern that is given
    twice the last counts, in its place."""
    plan: dict[str, LayerPrecision] = {}
    for entry in entries:
        pattern, found, types = entry.partition("=")
        if not (pattern and found and types.partition("/")[0]):
            raise ConfigError(f"--layer {entry!r}: write PATTERN=WEIGHTS/ACTIVATIONS, for example 'layer1.*=i8/u8'")
        plan.pop(pattern, None)
        plan[pattern] = LayerPrecision.parse(types)
    return plan


def choose_config(
    config: str | None,
    weights: str | None,
    activations: str | None,
    layers: dict[str, LayerPrecision],
    options: dict[str, Any],
) -> QuantizationConfig | None:
    """The configuration these options mean together; None = float32.

    ``config`` is a form of parse_config and excludes ``weights`` and ``activations``.
    """
    from lowbit.chosen_config import make_config

    if config is None:
        return make_config(weights, activations, layers=layers, **options)
    if weights is not None or activations is not None:
        raise ConfigError("give either --config or --weights and --activations, not both")
    chosen = parse_config(config)
    if chosen is None:
        return make_config(layers=layers, **options)
    return replace(chosen, **options).with_overrides(layers)
