"""One layer rounded at a time, and all but one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lowbit.analysis.report import Change
from lowbit.analysis.spreads import decibels
from lowbit.errors import LowbitError
from lowbit.fake import FakeQuantized
from lowbit.graph import Graph
from lowbit.graph.ops import LAYERS
from lowbit.numerics import QType
from lowbit.quantization import Calibration, QuantizationConfig

__all__ = ["Probe", "change", "networks", "probes", "sensitivities"]

Probe = tuple[int, str, bool]
"""(bits, layer, whether it alone is rounded; else all but it)."""


def change(reference: np.ndarray, outputs: np.ndarray, labels: np.ndarray | None) -> Change:
    """Outputs (N, ...) beside the float network's; a last axis of classes is assumed for predictions."""
    y, q = reference.astype(np.float64), outputs.astype(np.float64)
    centred = y - y.mean(0, keepdims=True) if len(y) > 1 else y
    rows, quantized = y.reshape(-1, y.shape[-1]), q.reshape(-1, y.shape[-1])
    p, r = _log_softmax(rows), _log_softmax(quantized)
    predicted, wanted = quantized.argmax(-1), rows.argmax(-1)
    top1 = None
    if labels is not None and len(labels) == len(rows):
        top1 = float(np.mean(predicted == labels) - np.mean(wanted == labels))
    return Change(
        decibels(float(np.square(centred).sum()), float(np.square(q - y).sum())),
        float((np.exp(p) * (p - r)).sum(-1).mean()),
        float(np.mean(predicted == wanted)),
        top1,
    )


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def networks(
    graph: Graph, calibration: Calibration, config: QuantizationConfig, bits: Sequence[int]
) -> tuple[dict[int, FakeQuantized], list[str]]:
    """Bits -> the network with all weights and layers' inputs of that width, as ``config`` says otherwise; and why widths are
    missing that cannot be computed."""
    made, refused = {}, []
    for width in bits:
        weights = QType(width, True, bipolar=width == 1)
        activations = QType(width, width == 16)
        uniform = replace(
            config,
            weights=weights,
            activations=activations,
            first_last_bits=None,
            weight_container=None,
            activation_container=None,
            overrides={},
        )
        try:
            made[width] = FakeQuantized(graph, calibration, uniform).eval()
        except LowbitError as error:
            refused.append(f"{width} bits: {error}")
    return made, refused


def probes(graph: Graph, bits: Sequence[int]) -> list[Probe]:
    layers = [node.name for node in graph.nodes if node.op in LAYERS]
    return [(width, layer, alone) for alone in (True, False) for width in bits for layer in layers]


def sensitivities(
    made: dict[int, FakeQuantized],
    wanted: Sequence[Probe],
    batches: Sequence[Sequence[Tensor]],
    reference: np.ndarray,
    labels: np.ndarray | None,
    advance: Callable[[str], None],
) -> Iterator[tuple[Probe, Change]]:
    """What each probe does to the outputs on ``batches``."""
    for probe in wanted:
        bits, layer, alone = probe
        network = made[bits]
        own = network.quantizers_of(layer)
        for quantizer in network.quantizers.values():
            quantizer.enabled = (quantizer in own) == alone
        with torch.no_grad():
            rows = [network.outputs(*batch)[0] for batch in batches]
        yield probe, change(reference, torch.cat(rows).numpy(), labels)
        advance(f"{layer} {'alone in' if alone else 'spared from'} {bits} bits")
