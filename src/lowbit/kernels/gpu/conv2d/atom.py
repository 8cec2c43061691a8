"""Instructions of tensor cores, and in which order weights must lie for them.

D (M x 8, int32) += A (M x K) B (K x 8), M = 16 or 8: M channels by 8 pixels, A holds weights and B inputs.  Lane 4 g + t of a
warp holds, in 32-bit registers, of A rows g (and g + 8), of B column g, of D columns 2 t and 2 t + 1 (PTX ISA, "Matrix
fragments").

Which elements of K a register holds is free as long as A and B agree, and we lay out the weights.  So of a step of ``k`` values
thread t of each quad takes the t-th quarter of pixel g, which lies side by side in memory, and register v its v-th stretch of
32 bits.  Rows are free, too: row g (+ 8) of the i-th of a block's tiles is channel g n + i (M / 8) (+ 1) of the block, n = its
channels / 8, so that a thread ends up with n neighbouring channels.  And weights lie in the order of A's registers, which must be
neighbours: with A and B exchanged, instructions that move inputs there would outnumber the multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Atom", "fragment_order"]

_WARP = 32


@dataclass(frozen=True, kw_only=True)
class Atom:
    """``text``: the instruction.  ``rows``: M, 16 or 8, channels.  ``bits``: of an element in registers; ``x_bits`` and
    ``w_bits``: of an input and of a weight in memory.

    Inputs of 8 bits for registers of 4: two words a and b become the low halves of a and of b.  Weights of 4 bits for
    registers of 8: a word p becomes p << 4 and p, of each byte the high half alone: 16 w as a signed byte.
    ``worth``: how many kinds of sums there are; of numbers of two bytes those of products worth 1, 2^8 and 2^16.
    ``words``: registers of a channel, and of a pixel, where they are not as many as a thread has channels.  ``bits`` 16: float16,
    with sums in float32.
    """

    text: str
    rows: int
    bits: int = 8
    x_bits: int = 8
    w_bits: int = 8
    worth: int = 1
    words: int = 0

    @property
    def xor(self) -> bool:
        """Of single bits: whether differences are counted, and not conjunctions."""
        return ".xor." in self.text

    @property
    def halves(self) -> int:
        """Rows of A, channels, that a thread holds."""
        return self.rows // 8

    @property
    def k(self) -> int:
        """Values of K of an instruction."""
        return 128 * self.registers // self.bits

    @property
    def registers(self) -> int:
        """Of a channel, and of a pixel, that an instruction takes."""
        return self.words or self.halves

    @property
    def floats(self) -> bool:
        return self.bits == 16

    @property
    def sums(self) -> int:
        """Registers of D."""
        return 2 * self.halves

    @property
    def counted(self) -> bool:
        """Whether the ones of each pixel are counted beside its sums: those of conjunctions ask for them."""
        return self.w_bits == 1 and not self.xor

    def tile_sums(self, mr: int, nr: int) -> int:
        """Of a tile of ``mr`` pixels x ``nr`` channels, in registers of all threads of a warp."""
        return self.worth * mr * (nr + (self.rows if self.counted else 0))

    @property
    def shift(self) -> int:
        """log2 of the factor by which sums are too large."""
        return self.bits - self.w_bits

    def x_words(self, k: int) -> int:
        """32-bit words that a thread loads of a pixel in a step of ``k`` values."""
        return k * self.x_bits // 128

    def w_words(self, k: int) -> int:
        """32-bit words that a thread loads of a channel."""
        return k * self.w_bits // 128

    def k_registers(self, k: int) -> int:
        """Registers of a channel, or of a pixel, in a step."""
        return k * self.bits // 128


def fragment_order(atom: Atom, nr: int, k: int, places: np.ndarray | None = None, parts: int = 1) -> np.ndarray:
    """``Packing.shuffle`` of panels of ``nr`` channels and steps of ``k`` values; value i lies at ``places[i]`` of a step without
    shuffling (None: at i).  ``parts``: of a weight, one after the other.

    Memory is [piece][lane][word], pieces of at most four words, so that a warp's loads are whole lines; a lane's words are
    [tile][word of the channel][half].  A stretch without shuffling is [channel][k], of single bits [32 values][channel]."""
    halves, count = atom.halves, nr // 8
    words = atom.w_words(k) * halves  # of a tile
    total = nr // atom.rows * words
    piece = min(4, total)
    word = np.arange(total).reshape(-1, 1, piece)
    lane = np.arange(_WARP).reshape(1, -1, 1)
    i, m, g, t = word // words, word % words, lane // 4, lane % 4
    half, v = m % halves, m // halves
    channel = g * count + i * halves + half
    byte = np.arange(4)
    if atom.w_bits == 1:
        order = (t * atom.w_words(k) + v)[..., None] * (4 * nr) + 4 * channel[..., None] + byte
    elif atom.w_bits == 4:  # low and high half of each byte
        value = (t * (k // 4) + 8 * v)[..., None, None] + byte[:, None] + 4 * np.arange(2)
        order = (channel * k)[..., None, None] + (value if places is None else places[value])
    else:  # of one byte, or of two
        size = atom.w_bits // 8
        value = (t * (k // 4) + 4 // size * v)[..., None] + byte // size
        order = size * ((channel * k)[..., None] + (value if places is None else places[value])) + byte % size
    order = order.reshape(-1)
    return np.concatenate([order + part * len(order) for part in range(parts)]).astype(np.int32)
