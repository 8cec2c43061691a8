"""What an analysis found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["AnalysisReport", "Change", "LayerAnalysis", "Range", "Spread", "TensorAnalysis"]


@dataclass(frozen=True)
class Change:
    """What the network's outputs become.  ``snr``: 10 log10 of the power of the float outputs about their mean over that of the
    difference, dB (None: no difference).  ``divergence``: mean KL(float || quantized) of the softmaxes, nats.  ``agreement``:
    share of rows with the same prediction.  ``top1``: change of top-1, None without labels."""

    snr: float | None
    divergence: float
    agreement: float
    top1: float | None = None


@dataclass(frozen=True)
class Range:
    """What integers of one width do to a tensor.  ``lo``, ``hi``: real numbers of the smallest and the largest integer (of
    weights: of the widest channel).  ``snr``: power of the values over that of the error, dB.  ``clipping``: share of the squared
    error of values outside the range; the rest is rounding's."""

    lo: float
    hi: float
    snr: float | None
    clipping: float


@dataclass(frozen=True)
class Spread:
    """A histogram: ``counts`` of values in equal bins from ``start`` on, each ``width`` wide.  ``ranges``: bits -> Range."""

    start: float
    width: float
    counts: tuple[float, ...]
    ranges: Mapping[int, Range]


@dataclass(frozen=True)
class LayerAnalysis:
    """One conv2d or linear.  ``alone``: bits -> the network with this layer's weights and input rounded to so many bits, all else
    real numbers.  ``without``: bits -> everything rounded but this.  ``snr``: of its output in the compiled network, dB.
    ``dead``: output channels of one single value on all rows, in the float and in the compiled network, of ``channels``.
    ``rank``: 1 for the layer that hurts most alone, over all widths."""

    name: str
    op: str
    source: str
    shape: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    channels: int
    weights: Spread
    activations: Spread | None
    alone: Mapping[int, Change]
    without: Mapping[int, Change]
    bits: tuple[str, str]
    snr: float | None
    dead: tuple[int, int]
    rank: int = 0


@dataclass(frozen=True)
class TensorAnalysis:
    """One value of the compiled network beside the float one's.  ``snr``: power of the float value over that of the difference,
    dB (None: no difference).  ``fall``: how far it is below the lowest of what the operation reads, dB."""

    name: str
    op: str
    qtype: str
    inputs: tuple[str, ...]
    snr: float | None
    fall: float
    largest: float
    cosine: float


@dataclass(frozen=True)
class AnalysisReport:
    """``config``: precision of the compiled network; ``compiled``: what it does to the outputs; ``equal``: whether its outputs
    were, integer for integer, those whose tensors are listed.  ``float_top1``: None without labels.  ``complete``: False where
    it was interrupted: then some layers lack widths."""

    network: str
    config: str
    rows: int
    data: str
    bits: tuple[int, ...]
    float_top1: float | None
    compiled: Change
    equal: bool
    layers: tuple[LayerAnalysis, ...]
    tensors: tuple[TensorAnalysis, ...]
    complete: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def ranking(self) -> list[LayerAnalysis]:
        """The layers, the most sensitive first."""
        return sorted(self.layers, key=lambda layer: layer.rank)

    @property
    def begins(self) -> TensorAnalysis | None:
        """The tensor that adds most noise, in proportion to its power, to that of what it reads."""
        noise = {tensor.name: 0.0 if tensor.snr is None else 10 ** (-tensor.snr / 10) for tensor in self.tensors}
        added = {t.name: noise[t.name] - max((noise[name] for name in t.inputs), default=0.0) for t in self.tensors}
        worst = max(self.tensors, key=lambda tensor: added[tensor.name], default=None)
        return worst if worst is not None and added[worst.name] > 0 else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save_html(self, path: str | Path) -> None:
        """Writes a page that needs nothing else.  Raises OSError."""
        from lowbit.analysis.page import page
        from lowbit.files import write_whole

        write_whole(Path(path), page(self).encode())
