"""Float graph -> integer graph: configuration, calibration, plan, rounding."""

from lowbit.quantization.calibration import Calibration, calibrate, random_samples
from lowbit.quantization.config import LayerPrecision, QuantizationConfig, parse_config
from lowbit.quantization.plan import Plan, layer_precisions, make_plan
from lowbit.quantization.quantize import quantize_graph

__all__ = [
    "Calibration",
    "LayerPrecision",
    "Plan",
    "QuantizationConfig",
    "calibrate",
    "layer_precisions",
    "make_plan",
    "parse_config",
    "quantize_graph",
    "random_samples",
]
