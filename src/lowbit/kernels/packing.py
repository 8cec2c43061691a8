"""How weights on disk become the weights a kernel reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Packing"]


@dataclass(frozen=True, eq=False)
class Packing:
    """How the runtime turns the fields on disk into the weights a kernel reads.

    ``scheme`` "panels": disk order [N][runs][run_len] (= OHWI); for block, run, step, part, lane, j:
        element = w[block*nr + lane][run][step*k_group + j], 0 outside; steps a run = run_pad / k_group.
      With ``groups`` > 1 a run is one tap and its positions are the ``window`` input channels from
      window_start[block] on (int32 per block); channel n of group g = n // (N/groups) contributes its
      run_len weights at positions g*run_len - window_start[block] on.
      With ``entries`` (int32: step * 4 + mode, all blocks one after the other, block b being
      entry_starts[b]..entry_starts[b+1]): step of entry e, mode 0 = w, 1 = w // 2 (floor), 2 = w - w // 2.
    ``scheme`` "taps" (depthwise): disk order [C][taps]; result [tap][part][lanes], lanes = nr.
    ``element``: "i8", "i16", "f32", "bit" (k_group 32: little-endian dwords, bit j = field j) or "index":
      a byte of k_group weights of two bits, weight i + j * steps of the run (steps = run_pad / k_group)
      at bit 2j of step i, so that k_group stretches of a pixel make its bytes without shuffling.
    ``parts`` 2: part 0 = high, part 1 = low of w = 256 * high + low, low in [-128, 127].
    ``group_scale`` (uint8 [N][ceil(run channels / group_size)]): values are multiplied by it
      (per-group weights); groups run along the input channels, in each tap.
    """

    scheme: str
    element: str
    n: int
    runs: int
    run_len: int
    run_pad: int
    nr: int
    k_group: int
    parts: int = 1
    groups: int = 1
    window: int = 0
    window_start: np.ndarray | None = None
    entries: np.ndarray | None = None
    entry_starts: np.ndarray | None = None
    group_size: int = 0
    channels: int = 0  # input channels a tap (for group_scale)
    group_scale: np.ndarray | None = None

    @property
    def blocks(self) -> int:
        return -(-self.n // self.nr)

    @property
    def steps(self) -> int:
        """K-steps of one block (without splitting)."""
        return self.runs * (self.run_pad // self.k_group)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights in memory."""
        if self.scheme == "taps":
            elements = self.runs * self.run_len * self.parts * self.nr
        elif self.entries is not None:
            elements = len(self.entries) * self.nr * self.k_group
        else:
            elements = self.blocks * self.steps * self.parts * self.nr * self.k_group
        if self.element == "index":
            return elements // self.k_group
        return elements // 8 if self.element == "bit" else elements * {"i8": 1, "i16": 2, "f32": 4}[self.element]
