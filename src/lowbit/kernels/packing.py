"""How weights on disk become the weights a kernel reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FIELDS", "Packing"]

FIELDS = {"i4": 2, "i2": 4}
"""Elements of which a byte has several: how many."""


@dataclass(frozen=True, eq=False)
class Packing:
    """How the runtime turns the fields on disk into the weights a kernel reads.

    ``scheme`` "panels": disk order [N][runs][run_len] (= OHWI); for block, run, step, part, lane, j:
        element = w[block*nr + lane][run][step*k_group + j], 0 outside; steps a run = run_pad / k_group.
      With ``groups`` > 1 a run is one tap and its positions are the ``window`` input channels from
      window_start[block] on (int32 per block); channel n of group g = n // (N/groups) contributes its
      run_len weights at positions g*run_len - window_start[block] on.
      With ``split`` (bool [block][step]) such a step becomes two entries, w // 2 (floor) and w - w // 2; the
      others become one.  The table [first entry of each block, blocks + 1 | activation offset of each entry]
      (int32) follows the panels in memory, at ``table_at``; ``offsets`` (int32) has the offset of each step.
    ``scheme`` "taps" (depthwise): disk order [C][taps]; result [tap][part][lanes], lanes = nr.
    ``element``: "i8", "i16", "f32", "f16", "bf16", "bit" (k_group 32: little-endian dwords, bit j = field j) or "index":
      a byte of k_group weights of ``bits`` bits, weight i + j * steps of the run (steps = run_pad / k_group)
      at bit ``bits`` * j of step i, so that k_group stretches of a pixel make its bytes without shuffling.
      One bit is w > 0 of weights -1 and +1 (and of 0 outside, whose inputs are 0); two are w's two's complement.
    ``element`` "i4", "i2": as "i8", then elements 2 i and 2 i + 1 of a panel (of -8 .. 7) in byte i, the first one in the low
      half; or elements 4 i .. 4 i + 3 (of -2 .. 1), the first one in the lowest bits.
    ``element`` "bf16": ``parts`` 2 of float32, part 0 = h, part 1 = l (numerics/bfloat16.py), each the two bytes of a bfloat16.
    ``shuffle`` (int32, a permutation): memory is cut into stretches of as many bytes ("i4", "i2": elements), whole panels or
      several steps of one; byte i of a stretch is byte shuffle[i] of it without shuffling.  Fragment order of tensor cores.
    ``parts`` 2: part 0 = high, part 1 = low of w = 256 * high + low, low in [-128, 127]; of element "i8" the two bytes of an
      int16: high has the sign, low is in [0, 255].
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
    split: np.ndarray | None = None
    offsets: np.ndarray | None = None
    group_size: int = 0
    channels: int = 0  # input channels a tap (for group_scale)
    group_scale: np.ndarray | None = None
    bits: int = 0  # of a weight in an "index"
    shuffle: np.ndarray | None = None

    @property
    def blocks(self) -> int:
        return -(-self.n // self.nr)

    @property
    def steps(self) -> int:
        """K-steps of one block (without splitting)."""
        return self.runs * (self.run_pad // self.k_group)

    @property
    def entries(self) -> np.ndarray:
        """(block, step, mode) of every entry, mode 0 = w, 1 and 2 its halves; one row each."""
        split = np.zeros((self.blocks, self.steps), bool) if self.split is None else self.split
        modes = np.stack([split.astype(np.int64), np.where(split, 2, -1)], axis=-1)
        kept = np.argwhere(modes >= 0)
        return np.concatenate([kept[:, :2], modes[modes >= 0][:, None]], axis=1)

    @property
    def table(self) -> np.ndarray | None:
        """The kernel's list of steps, for panels with ``split``."""
        if self.split is None or self.offsets is None:
            return None
        block, step, _ = self.entries.T
        return np.concatenate([np.searchsorted(block, np.arange(self.blocks + 1)), self.offsets[step]]).astype(np.int32)

    @property
    def table_at(self) -> int:
        """Bytes from the panels to their table."""
        return -(-self._panel_bytes // 64) * 64

    @property
    def nbytes(self) -> int:
        """Bytes of the weights in memory."""
        if self.split is None:
            return self._panel_bytes
        return self.table_at + 4 * (self.blocks + 1 + self.blocks * self.steps + int(self.split.sum()))

    @property
    def _panel_bytes(self) -> int:
        if self.scheme == "taps":
            elements = self.runs * self.run_len * self.parts * self.nr
        elif self.split is not None:
            elements = (self.blocks * self.steps + int(self.split.sum())) * self.nr * self.k_group
        else:
            elements = self.blocks * self.steps * self.parts * self.nr * self.k_group
        if self.element == "index":
            return elements // self.k_group
        if self.element in FIELDS:
            return elements // FIELDS[self.element]
        if self.element == "bit":
            return elements // 8
        return elements * {"i8": 1, "i16": 2, "f16": 2, "bf16": 2, "f32": 4}[self.element]
