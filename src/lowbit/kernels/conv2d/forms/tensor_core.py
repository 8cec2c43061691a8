"""Tensor cores of GPUs: mma of bytes, of 4-bit numbers, of single bits, and of float16.

Their fragments say in which order weights lie (kernels/gpu/conv2d/atom.py); one builder computes all of them
(kernels/gpu/conv2d/tensor.py).  No form is fitted or timed: the cost model is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lowbit.kernels.conv2d.forms.bits import BitForm
from lowbit.kernels.conv2d.forms.form import Form, Words
from lowbit.kernels.conv2d.forms.panels import aligned_windows
from lowbit.kernels.conv2d.runs import Runs
from lowbit.kernels.conv2d.selection.problem import ConvProblem
from lowbit.kernels.conv2d.selection.tensor_tiles import TensorCost
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.gpu.conv2d.atom import Atom, fragment_order
from lowbit.kernels.gpu.conv2d.tiling import depth_of, places_of, runs_of, steps_of
from lowbit.kernels.packing import Packing

__all__ = ["FORMS", "TensorForm"]

_PIXEL = 16  # bytes: inputs are loaded in vectors of that size
_INT32 = 2**31 - 1
_LONGEST = 32896  # products of bytes up to 255 * 128 in either direction, two each, of which int32 holds the sum


@dataclass(frozen=True, kw_only=True)
class TensorForm(Form):
    """``atom``: the instruction; ``staged``: operands come through shared memory."""

    atom: Atom
    staged: bool = False
    element: str = "i8"
    reads: tuple[str, ...] = ("u8",)
    exact: str = "products of bytes in int32 sums"
    builder: str = "lowbit.kernels.gpu.conv2d.tensor:build"
    cases: str = "lowbit.kernels.gpu.conv2d.cases:cases"
    settles: bool = False

    @property
    def generator(self) -> tuple[str, ...]:
        return *super().generator, str(self.atom), str(self.staged)

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        aligned = problem.src.stride % _PIXEL == 0 or (problem.src.stride % 4 == 0 and not self.staged)
        return aligned and super().holds(problem, weights)

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        """Steps of a warp's share; of a draft without a tile, 0."""
        if self.staged or spec.mr < 8:
            return 0
        sums = self.atom.tile_sums(spec.mr, spec.nr)
        return depth_of(steps_of(spec), spec.units, spec.m_tiles * spec.n_blocks, sums)

    def believe(self, spec: ConvSpec, depth: int, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        return self.prove(spec, packing, weights, act_max)  # shares follow from the tile

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        n, per_group = weights.shape[0], weights.shape[3]
        starts, window = aligned_windows(n, problem.groups, per_group, spec.nr, _PIXEL) if problem.groups > 1 else (None, 0)
        runs, places = self.runs(spec, spec.k_group, window), places_of(spec, spec.k_group)
        length = per_group if window else runs.length if places is None else spec.kernel[1] * spec.src.c
        return Packing(
            "panels", self.element, n, runs.count, length, runs.padded, spec.nr, self.k_group, spec.parts, problem.groups, window,
            starts, channels=per_group, shuffle=fragment_order(self.atom, spec.nr, spec.k_group, places, spec.parts),
        )  # fmt: skip

    def runs(self, spec: ConvSpec, k_group: int, window: int = 0) -> Runs:
        return runs_of(spec, k_group, window)

    def tried(self, mr: int, nr: int) -> tuple[tuple[int, int], tuple[int, int]]:
        units = ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1))
        nr = 1 << (nr.bit_length() - 1)  # staged tiles have a power of two of channels
        return (8 * (1 + mr % 3), nr), units[(mr + nr // 16) % len(units)]


@dataclass(frozen=True, kw_only=True)
class _NarrowForm(TensorForm):
    """Weights of at most 4 bits, two in a byte."""

    element: str = "i4"

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        most = 2 ** (self.bits or 8) - 1
        narrow = weights.min(initial=0) >= -8 and weights.max(initial=0) < 8 and problem.act_max <= most
        return bool(narrow) and super().holds(problem, weights)

    def prove(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        """Sums are 2^shift times as large in their registers, and must fit int32 there."""
        largest = int(np.abs(np.asarray(weights, np.int64)).sum((1, 2, 3)).max(initial=0))
        fits = act_max * largest << self.atom.shift <= _INT32
        return super().prove(spec, packing, weights, act_max) if fits else None


@dataclass(frozen=True, kw_only=True)
class _WideForm(TensorForm):
    """Numbers of 16 bits as bytes, 256 high + low, of which the high ones have the sign (kernels/gpu/conv2d/direct.py)."""

    wide: bool = True
    exact: str = "proven: sums of products worth the same stay in int32 for K up to 32896, and int64 holds the whole"

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        taken = problem.wide and problem.src.dtype in self.reads and problem.src.stride % 4 == 0
        return bool(
            taken and weights[0].size <= _LONGEST and weights.min(initial=0) >= -32768 and weights.max(initial=0) <= 32767
        )

    def prove(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        """Weights of one byte have one part."""
        fits = spec.parts == 2 or (weights.min(initial=0) >= -128 and weights.max(initial=0) <= 127)
        return super().prove(spec, packing, weights, act_max) if fits else None


@dataclass(frozen=True, kw_only=True)
class TensorBitForm(TensorForm):
    """Single bits, eight channels in a byte (PackBitsSpec).

    With bits x and w of n values, sum of products = ones(w) - ones(x xor w) up to what the bias holds, as in BitForm.  Of
    instructions that count conjunctions - ones(x xor w) + ones(w) = 2 ones(x and w) - ones(x); kernels of those that
    count differences leave out ones(w)."""

    element: str = "bit"
    reads: tuple[str, ...] = ("bits",)
    exact: str = "int32 counts"
    techniques: frozenset[str] = frozenset({"bits"})
    grouped: bool = False

    pack_kind = BitForm.pack_kind
    pack_cycles = (0.0, 0.01)

    holds = BitForm.holds
    source = BitForm.source
    pack = BitForm.pack

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        return replace(super().packing(spec, problem, weights), k_group=32)

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        ones = (weights > 0).sum(axis=(1, 2, 3), dtype=np.int64) << spec.acc_shift
        return np.asarray(ones if self.atom.xor else 0 * ones)


@dataclass(frozen=True, kw_only=True)
class _HalfForm(TensorForm):
    """float16 with sums in float32; the baseline of the others."""

    element: str = "f16"
    reads: tuple[str, ...] = ("f16",)
    exact: str = "float16 products are exact in float32, which their sums are rounded to: |error| <= 3 gamma(K + 2) * sum |x w|"
    grouped: bool = False

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        """Staged operands are multiplied as they lie in memory, so that runs must be whole steps."""
        whole = not self.staged or self.runs_of(problem).length % self.k_group == 0
        return problem.src.dtype in self.reads and problem.src.stride % (_PIXEL if self.staged else 4) == 0 and whole

    def runs_of(self, problem: ConvProblem) -> Runs:
        return runs_of(problem, self.k_group)


_S8U8 = ".row.col.s32.s8.u8.s32"
_MMA_16832 = Atom(text=f"mma.sync.aligned.m16n8k32{_S8U8}", rows=16)
_MMA_8816 = Atom(text=f"mma.sync.aligned.m8n8k16{_S8U8}", rows=8)
_SAYS = "multiplies {} channels by 8 pixels, {} values of each"


def _bytes(name: str, atom: Atom, k: int, features: str, cycles: float, staged: bool = False) -> TensorForm:
    return TensorForm(
        name=name,
        k_group=k,
        features=f"cuda {features}" + " cp_async" * staged,
        atom=atom,
        staged=staged,
        grouped=not staged,
        words=Words(f"mma m{atom.rows}n8k{atom.k}", "bytes", _SAYS.format(atom.rows, atom.k), True),
        gpu=TensorCost(cycles, atom.rows * 8 * atom.k),
    )


def _narrow(name: str, atom: Atom, features: str, cycles: float, staged: bool = False) -> TensorForm:
    native = atom.bits == 4
    exact = "products of 4-bit numbers in int32 sums" if native else "16 w as a byte: 16 times the sum is proven to fit int32"
    return _NarrowForm(
        name=name,
        k_group=64,
        features=f"cuda {features}" + " cp_async" * staged,
        atom=atom,
        staged=staged,
        grouped=not staged,
        exact=exact,
        bits=4 if native else 0,
        words=Words(f"mma m{atom.rows}n8k{atom.k}", "4 bits", _SAYS.format(atom.rows, atom.k)),
        gpu=TensorCost(cycles, atom.rows * 8 * atom.k),
    )


def _wide(name: str, atom: Atom, reads: str, features: str, cycles: float) -> TensorForm:
    return _WideForm(
        name=name,
        k_group=32,
        reads=(reads,),
        features=f"cuda {features}",
        atom=atom,
        words=Words(f"mma m{atom.rows}n8k{atom.k}", "int16 by bytes", _SAYS.format(atom.rows, atom.k)),
        gpu=TensorCost(cycles, atom.rows * 8 * atom.k),
    )


def _bits(name: str, atom: Atom, features: str, cycles: float) -> TensorForm:
    return TensorBitForm(
        name=name,
        k_group=256,
        features=f"cuda {features}",
        atom=atom,
        words=Words(f"mma m{atom.rows}n8k{atom.k} of bits", "bits", _SAYS.format(atom.rows, atom.k)),
        gpu=TensorCost(cycles, atom.rows * 8 * atom.k),
    )


def _halves(name: str, atom: Atom, k: int, features: str, cycles: float, staged: bool = False) -> TensorForm:
    return _HalfForm(
        name=name,
        k_group=k,
        features=f"cuda {features}" + " cp_async" * staged,
        atom=atom,
        staged=staged,
        words=Words(f"mma m{atom.rows}n8k{atom.k} of float16", "float", _SAYS.format(atom.rows, atom.k)),
        gpu=TensorCost(cycles, atom.rows * 8 * atom.k),
    )


_W4_16832, _W4_8816 = replace(_MMA_16832, w_bits=4), replace(_MMA_8816, w_bits=4)
_I16_16832, _I16_8816 = replace(_MMA_16832, x_bits=16, worth=3), replace(_MMA_8816, x_bits=16, worth=3)
_U8I16_16832, _U8I16_8816 = replace(_MMA_16832, worth=2), replace(_MMA_8816, worth=2)
_S4 = "mma.sync.aligned.{}.row.col.s32.s4.u4.s32"
_S4_16864 = Atom(text=_S4.format("m16n8k64"), rows=16, bits=4, w_bits=4)
_S4_8832 = Atom(text=_S4.format("m8n8k32"), rows=8, bits=4, w_bits=4)
_B1 = "mma.sync.aligned.{}.row.col.s32.b1.b1.s32.{}.popc"
_B1_AND = Atom(text=_B1.format("m16n8k256", "and"), rows=16, bits=1, x_bits=1, w_bits=1)
_B1_XOR = Atom(text=_B1.format("m8n8k128", "xor"), rows=8, bits=1, x_bits=1, w_bits=1)

_F16 = "mma.sync.aligned.{}.row.col.f32.f16.f16.f32"
_F16_16816 = Atom(text=_F16.format("m16n8k16"), rows=16, bits=16, x_bits=16, w_bits=16)
_F16_1688 = Atom(text=_F16.format("m16n8k8"), rows=16, bits=16, x_bits=16, w_bits=16, words=1)

FORMS: tuple[Form, ...] = (
    _bits(name="bit_mma256_and", atom=_B1_AND, features="b1_and", cycles=1.6),
    _bits(name="bit_mma128_xor", atom=_B1_XOR, features="b1_xor", cycles=1.0),
    _narrow(name="u4_mma16864", atom=_S4_16864, features="s4_mma16864", cycles=1.6),
    _narrow(name="u4_mma16864_staged", atom=_S4_16864, features="s4_mma16864", cycles=1.6, staged=True),
    _narrow(name="u4_mma8832", atom=_S4_8832, features="s4_mma8832", cycles=1.0),
    _narrow(name="w4_mma16832", atom=_W4_16832, features="mma16832", cycles=1.7),
    _narrow(name="w4_mma16832_staged", atom=_W4_16832, features="mma16832", cycles=1.7, staged=True),
    _narrow(name="w4_mma8816", atom=_W4_8816, features="mma8816", cycles=1.05),
    _bytes(name="u8_mma16832", atom=_MMA_16832, k=64, features="mma16832", cycles=1.6),
    _bytes(name="u8_mma16832_k32", atom=_MMA_16832, k=32, features="mma16832", cycles=1.6),
    _bytes(name="u8_mma16832_staged", atom=_MMA_16832, k=64, features="mma16832", cycles=1.6, staged=True),
    _bytes(name="u8_mma8816", atom=_MMA_8816, k=64, features="mma8816", cycles=1.0),
    _bytes(name="u8_mma8816_k32", atom=_MMA_8816, k=32, features="mma8816", cycles=1.0),
    _wide(name="i16_mma16832", atom=_I16_16832, reads="i16", features="mma16832", cycles=6.4),
    _wide(name="u8i16_mma16832", atom=_U8I16_16832, reads="u8", features="mma16832", cycles=3.2),
    _wide(name="i16_mma8816", atom=_I16_8816, reads="i16", features="mma8816", cycles=4.0),
    _halves(name="f16_mma16816", atom=_F16_16816, k=32, features="mma16816_f16", cycles=1.6),
    _halves(name="f16_mma16816_k16", atom=_F16_16816, k=16, features="mma16816_f16", cycles=1.6),
    _halves(name="f16_mma16816_staged", atom=_F16_16816, k=32, features="mma16816_f16", cycles=1.6, staged=True),
    _halves(name="f16_mma1688", atom=_F16_1688, k=32, features="mma1688_f16", cycles=2.0),
    _halves(name="f16_mma1688_k16", atom=_F16_1688, k=16, features="mma1688_f16", cycles=2.0),
    _wide(name="u8i16_mma8816", atom=_U8I16_8816, reads="u8", features="mma8816", cycles=2.0),
)
