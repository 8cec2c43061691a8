"""lowbit: PyTorch networks as n-bit integer networks, with kernels generated for one machine.

``compile``, ``calibrate`` and ``trace`` need PyTorch (and TVM, unless every kernel is cached); ``load`` needs numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lowbit.version import __version__

if TYPE_CHECKING:
    from lowbit.analysis import AnalysisReport, analyze
    from lowbit.compiler import compile, tune
    from lowbit.data import Dataset
    from lowbit.evaluation import EvaluationReport, evaluate
    from lowbit.fake import FakeQuantized, QuantDescriptor, TensorQuantizer, finetune
    from lowbit.methods import (
        ActivationEqualization,
        AdaRound,
        Auto,
        BatchNormReestimation,
        Best,
        BiasCorrection,
        BlockReconstruction,
        ChannelSplitting,
        CoordinateDescent,
        Distillation,
        Equalization,
        FewSamples,
        Gptq,
        Nearest,
        QuantizationPlan,
        Ranges,
    )
    from lowbit.numerics import QType
    from lowbit.quantization import Calibration, LayerPrecision, QuantizationConfig
    from lowbit.quantizer import calibrate, quantize
    from lowbit.runtime import Compiled, load
    from lowbit.searching import SearchResult, SearchSpace, search
    from lowbit.simulate import fake_quantize
    from lowbit.tracer import trace

__all__ = [
    "ActivationEqualization",
    "AdaRound",
    "AnalysisReport",
    "Auto",
    "BatchNormReestimation",
    "Best",
    "BiasCorrection",
    "BlockReconstruction",
    "Calibration",
    "ChannelSplitting",
    "Compiled",
    "CoordinateDescent",
    "Dataset",
    "Distillation",
    "Equalization",
    "EvaluationReport",
    "FakeQuantized",
    "FewSamples",
    "Gptq",
    "LayerPrecision",
    "Nearest",
    "QType",
    "QuantDescriptor",
    "QuantizationConfig",
    "QuantizationPlan",
    "Ranges",
    "SearchResult",
    "SearchSpace",
    "TensorQuantizer",
    "__version__",
    "analyze",
    "calibrate",
    "compile",
    "evaluate",
    "fake_quantize",
    "finetune",
    "load",
    "quantize",
    "search",
    "trace",
    "tune",
]

_HOME = {
    "AnalysisReport": "lowbit.analysis",
    "analyze": "lowbit.analysis",
    "calibrate": "lowbit.quantizer",
    "compile": "lowbit.compiler",
    "quantize": "lowbit.quantizer",
    "trace": "lowbit.tracer",
    "tune": "lowbit.compiler",
    "Dataset": "lowbit.data",
    "EvaluationReport": "lowbit.evaluation",
    "evaluate": "lowbit.evaluation",
    "ActivationEqualization": "lowbit.methods",
    "AdaRound": "lowbit.methods",
    "Auto": "lowbit.methods",
    "BatchNormReestimation": "lowbit.methods",
    "Best": "lowbit.methods",
    "BiasCorrection": "lowbit.methods",
    "BlockReconstruction": "lowbit.methods",
    "ChannelSplitting": "lowbit.methods",
    "CoordinateDescent": "lowbit.methods",
    "Distillation": "lowbit.methods",
    "Equalization": "lowbit.methods",
    "FewSamples": "lowbit.methods",
    "Gptq": "lowbit.methods",
    "Nearest": "lowbit.methods",
    "Ranges": "lowbit.methods",
    "QuantizationPlan": "lowbit.methods",
    "QType": "lowbit.numerics",
    "Calibration": "lowbit.quantization",
    "LayerPrecision": "lowbit.quantization",
    "QuantizationConfig": "lowbit.quantization",
    "Compiled": "lowbit.runtime",
    "FakeQuantized": "lowbit.fake",
    "QuantDescriptor": "lowbit.fake",
    "TensorQuantizer": "lowbit.fake",
    "fake_quantize": "lowbit.simulate",
    "finetune": "lowbit.fake",
    "load": "lowbit.runtime",
    "SearchResult": "lowbit.searching",
    "SearchSpace": "lowbit.searching",
    "search": "lowbit.searching",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import lowbit`` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'lowbit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
