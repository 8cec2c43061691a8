"""Where a quantized network loses what the float one knows: layer by layer, tensor by tensor."""

from lowbit.analysis.analyze import analyze
from lowbit.analysis.report import AnalysisReport

__all__ = ["AnalysisReport", "analyze"]
