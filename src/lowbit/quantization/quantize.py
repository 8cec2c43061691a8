"""Float graph + what was observed + configuration -> integer graph."""

from __future__ import annotations

from lowbit.graph import Graph
from lowbit.quantization.apply import apply
from lowbit.quantization.calibration import Calibration
from lowbit.quantization.choose import choose
from lowbit.quantization.config import QuantizationConfig

__all__ = ["quantize_graph"]


def quantize_graph(graph: Graph, calibration: Calibration, config: QuantizationConfig) -> Graph:
    """``apply(graph, choose(graph, calibration, config))``; raises what the two raise."""
    return apply(graph, choose(graph, calibration, config))
