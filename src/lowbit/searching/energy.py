"""Energy of one inference by a table of operations: an estimate to compare plans with, not a measurement.

Horowitz: Computing's Energy Problem (and what we can do about it), ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V): an 8-bit addition
0.03 pJ, a 32-bit one 0.1 pJ, an 8-bit multiplication 0.2 pJ, a 32-bit one 3.1 pJ, 64 bits from an 8 KiB cache 10 pJ, 64 bits
from a 1 MiB cache 100 pJ.
"""

from __future__ import annotations

import math

from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS

__all__ = ["ADD_PJ", "CACHE_PJ", "MEMORY_PJ", "MULTIPLY_PJ", "network_energy_uj", "product_energy_pj"]

MULTIPLY_PJ = 0.2 / 64
"""Of a multiplication, for each bit of one factor times each bit of the other: its area grows with the product (8 x 8: 0.2 pJ;
32 x 32 gives 3.2, measured 3.1)."""
ADD_PJ = 0.1 / 32
"""Of an addition, for each bit of the sum."""
CACHE_PJ = 10 / 64
"""Of a bit read from, or written to, a small cache: activations, once for each use by a layer."""
MEMORY_PJ = 100 / 64
"""Of a bit read from a large cache: weights, once an inference."""
_SUM_BITS = 32


def product_energy_pj(weights: int, activations: int) -> float:
    """Of one multiply-accumulate: MULTIPLY_PJ * weights * activations + ADD_PJ * 32."""
    return MULTIPLY_PJ * weights * activations + ADD_PJ * _SUM_BITS


def network_energy_uj(graph: Graph) -> float:
    """Of one run of an integer graph, in 10^-6 J: the multiply-accumulates of its layers, the bits of their inputs and outputs
    through a small cache, of their weights through a large one.  float32 counts 32 bits."""

    def bits(value: str) -> int:
        params = graph.types[value].quant
        return 32 if params is None else params.qtype.bits

    total = 0.0
    for node in graph.nodes:
        if node.op not in LAYERS:
            continue
        x, w = node.inputs[:2]
        weights = math.prod(graph.types[w].shape)
        outputs = math.prod(graph.types[node.name].shape)
        products = outputs * math.prod(graph.types[w].shape[1:])
        total += products * product_energy_pj(bits(w), bits(x))
        total += CACHE_PJ * (math.prod(graph.types[x].shape) * bits(x) + outputs * bits(node.name)) + MEMORY_PJ * weights * bits(
            w
        )
    return total * 1e-6
