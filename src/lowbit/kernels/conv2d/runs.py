"""The K loop of a convolution: which input elements a step reads, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.kernels.geometry import ConvGeometry

__all__ = ["Runs", "find_runs"]


@dataclass(frozen=True)
class Runs:
    """K is ``rows`` x ``columns`` runs of ``length`` values; each is contiguous in memory.

    A kernel row is one run (columns = 1) where its pixels lie side by side and have no padding
    channels; else every tap is a run.  ``padded``: length rounded up to k_group (zero weights).
    """

    rows: int
    columns: int
    length: int
    padded: int

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def steps(self, k_group: int) -> int:
        """Steps of one run."""
        return self.padded // k_group


def find_runs(at: ConvGeometry, k_group: int, window: int = 0) -> Runs:
    """The runs of a convolution (``window`` input channels of it, 0 = all)."""
    (kh, kw), src = at.kernel, at.src
    channels = src.stride * 8 if src.dtype == "bits" else src.stride
    merged = kw > 1 and at.dilation[1] == 1 and src.c == channels and not window
    length = kw * src.c if merged else (window or src.c)
    return Runs(kh, 1 if merged else kw, length, -(-length // k_group) * k_group)
