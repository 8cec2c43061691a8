"""Random precision: every width, container, granularity, scale mode and observer, and plans per layer."""

from __future__ import annotations

from typing import Any

from lowbit.errors import ConfigError, UnsupportedPrecision
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QType
from lowbit.numerics.qtype import WIDTHS
from lowbit.quantization import LayerPrecision, QuantizationConfig
from lowbit.quantization.observers import OBSERVERS
from tests.fuzz.draws import Draws, Rejected

__all__ = ["WIDE", "draw_config", "width_class"]

WEIGHTS = tuple(str(QType(bits, True, bits == 1)) for bits in WIDTHS)
ACTIVATIONS = (
    "b1",
    "i16",
    *(f"u{bits}" for bits in WIDTHS if bits <= 8),
    *(f"i{bits}" for bits in WIDTHS if 1 < bits <= 8),
    "u8:240",
    "u8:128",
    "u5:20",
)
SCALES = ("float", "float", "float", "power_of_two", "fixed:5", "fixed:0", "fixed:-3", "global:4", "global:0.5")

WIDE = QuantizationConfig("i16", "i16", first_last_bits=None, bias_correction=False)  # type: ignore[arg-type]


def draw_config(draws: Draws, graph: Graph) -> QuantizationConfig:
    """One that is allowed.  Raises Rejected where the draw is none."""
    common = draws.choose((("i8", "u8"), ("i4", "u4"), ("i2", "u2"), ("b1", "u1"), ("i16", "i16"), ("i7", "u7"), ("i4", "u8")))
    weights, activations = common if draws.chance(50) else (draws.choose(WEIGHTS), draws.choose(ACTIVATIONS))
    bits = QType.parse(weights).bits
    options: dict[str, Any] = {
        "first_last_bits": draws.choose((None, 8, None, 4, 16, 1)),
        "weight_container": draws.choose((None, *(c for c in (8, 16) if c >= bits))),
        "activation_container": draws.choose((None, *(c for c in (8, 16) if c >= QType.parse(activations).bits))),
        "observer": draws.choose(("auto", *sorted(OBSERVERS))),
        "percentile": draws.choose((99.99, 100.0, 60.0)),
        "granularity": draws.choose(("per_channel", "per_tensor", *(("per_group:4", "per_group:16") if bits <= 7 else ()))),
        "scale": draws.choose(SCALES),
        "bias_correction": not draws.chance(30),
        "full_range": draws.chance(20),
    }
    layers = [node.name for node in graph.nodes if node.op in LAYERS]
    if layers and draws.chance(30):
        options["overrides"] = {
            draws.choose(layers): LayerPrecision(
                draws.choose((None, *WEIGHTS)),  # type: ignore[arg-type]
                draws.choose((None, *ACTIVATIONS)),  # type: ignore[arg-type]
            )
        }
    try:
        return QuantizationConfig(weights, activations, **options)  # type: ignore[arg-type]
    except (ConfigError, UnsupportedPrecision) as error:
        raise Rejected(str(error)) from None


def width_class(config: QuantizationConfig | None) -> str:
    """``w4a8``-like name of a configuration's widths, for the table of coverage."""
    return "fp32" if config is None else f"{config.weights}x{config.activations}"
