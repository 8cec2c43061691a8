"""Float graph -> integer graph: configuration, calibration, plan, rounding."""

from lowbit.quantization.apply import apply
from lowbit.quantization.calibration import Calibration, calibrate, random_samples
from lowbit.quantization.choice import Choice, LayerNumbers, Quantized
from lowbit.quantization.choose import choose
from lowbit.quantization.config import FP16, LayerPrecision, QuantizationConfig, parse_config
from lowbit.quantization.granularity import PerChannel, PerGroup, PerTensor
from lowbit.quantization.integer_form import integer_form, is_quantized
from lowbit.quantization.plan import Plan, layer_precisions, make_plan
from lowbit.quantization.quantize import quantize_graph
from lowbit.quantization.scales import FixedPoint, FloatScale, GlobalScale, PowerOfTwo
from lowbit.quantization.statistics import LayerStatistics, average_bits, dead_channels, layer_statistics

__all__ = [
    "FP16",
    "Calibration",
    "Choice",
    "FixedPoint",
    "FloatScale",
    "GlobalScale",
    "LayerNumbers",
    "LayerPrecision",
    "LayerStatistics",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Plan",
    "PowerOfTwo",
    "QuantizationConfig",
    "Quantized",
    "apply",
    "average_bits",
    "calibrate",
    "choose",
    "dead_channels",
    "integer_form",
    "is_quantized",
    "layer_precisions",
    "layer_statistics",
    "make_plan",
    "parse_config",
    "quantize_graph",
    "random_samples",
]
