"""What an instruction sequence is to everybody else: what it takes, why it is exact, what it costs, how it is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.forms.panels import panels
from lowbit.kernels.conv2d.runs import Runs, find_runs
from lowbit.kernels.conv2d.selection.cost import DIRECT, Cost, Tiling, Workload
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem, PackSpec
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.named import named
from lowbit.kernels.packing import Packing
from lowbit.numerics.float_products import FloatProducts
from lowbit.targets import Target
from lowbit.targets.costs import read_costs

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.arithmetic.inner_step import Arithmetic
    from lowbit.kernels.conv2d.forms.transformed import Facts, Terms

__all__ = ["Form", "Words"]


@dataclass(frozen=True)
class Words:
    """``instruction``: what multiplies; ``family``: forms of one family take the same operands; ``meaning``: what one
    instruction does, as a clause; ``any_bytes``: it takes the same time for all operands of at most 8 bits; ``paired``:
    it multiplies sums of pairs, two products at a time."""

    instruction: str
    family: str
    meaning: str
    any_bytes: bool = False
    paired: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to multiply and add, and all that is known of it.  Its TensorIR is imported when it is generated.

    ``k_group``: k values a step consumes, from ``rows`` rows of a panel; ``mixed``: some
    rows are multiplied as they are beside the sums of pairs.  ``element``: how a weight is kept in memory
    (see ``Packing``).  ``grouped``: it takes layers with groups.  ``wide``: it takes operands of 16 bits alone,
    and reads them as bytes.  ``reads``: dtypes of the layouts the kernel reads.
    ``features``: what the CPU must have, names separated by spaces, alternatives by ``|``.  ``techniques``: names of
    ``targets.TECHNIQUES`` without which there is no such form.  ``exact``: why the narrow sums are exact, or what is proven
    from the weights (:meth:`prove`).

    ``x86``, ``neon``, ``gpu``: what it costs there (:meth:`cost`); a form without ``gpu`` is none for GPUs.
    ``asked``: float32 layers get it only where this way to multiply them was asked for; None: integers, or float32 as it is.
    ``sums``: of such a form ``module:function`` of its sums in numpy, bit for bit, (spec, x, w) -> float32 (n, h, w, N).
    ``settles``: it costs nothing beside its multiplications, so a form that multiplies more slowly need not be tried.

    ``arithmetic``: ``module:function`` of its inner step, (spec, target) -> ``Arithmetic``; "" for a form that has none
    because ``builder``, ``module:function`` of its kernel, (spec, target) -> PrimFunc, asks for no such thing.  The
    shared builder computes tiles of pixels x vectors of channels; a form of another shape brings its own, whose tiles
    (:meth:`tiles`) and scratch memory (:meth:`scratch_bytes`) may be others, and which may be ``bracketed`` (kernels/spec.py).
    ``cases``: ``module:function`` of what its kernels are tried on beside what all are, (form, target) -> Cases.
    ``loop``: ``module:function`` of the loop that says how fast a form without an inner step can be (kernels/peak/tiles.py).

    For reports: ``words``; ``bits`` of an input and of a weight, 0 for any; ``sum_bits`` of the lanes in which products
    meet; ``longest``: steps after which they are widened at the latest, 0 for never; ``repeats``: the form whose inner
    loop it has; ``depthwise``: depthwise kernels multiply with the same instruction.
    """

    name: str
    k_group: int
    element: str
    reads: tuple[str, ...]
    exact: str
    words: Words
    arithmetic: str = ""
    builder: str = "lowbit.kernels.conv2d.schedule:build"
    bracketed: bool = False
    cases: str = ""
    loop: str = ""
    features: str = ""
    techniques: frozenset[str] = frozenset()
    asked: FloatProducts | None = None
    sums: str = ""
    rows: int = 1
    mixed: bool = False
    grouped: bool = True
    wide: bool = False
    x86: Cost | None = None
    neon: Cost | None = None
    gpu: Cost | None = None
    settles: bool = True
    bits: int = 0
    sum_bits: int = 32
    longest: int = 0
    repeats: str = ""
    depthwise: bool = False

    pack_kind: ClassVar[str] = ""  # kind of the kernel that makes what it reads, where the problem's source will not do
    pack_cycles: ClassVar[tuple[float, float]] = (0.0, 0.0)  # of that kernel, an input value and an input pixel

    @property
    def group(self) -> int:
        """Elements of the source that a step reads."""
        return self.k_group

    @property
    def table_bytes(self) -> int:
        """Of a table that its kernels read beside inputs and weights."""
        return 0

    @property
    def generator(self) -> tuple[str, ...]:
        """What of the form decides which code is generated."""
        return self.arithmetic, self.builder, self.element, str(self.rows), str(self.mixed)

    def available(self, target: Target) -> bool:
        """Whether ``target`` has the instructions and nobody switched them off."""
        has = any(set(needed.split()) <= target.instructions for needed in self.features.split("|"))
        here = self.gpu is not None or target.machine != "cuda"
        return has and here and not self.techniques & target.without

    # What it fits and why it is exact

    def fits(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        """Whether the form can compute the layer as far as that does not depend on sums."""
        wanted = self.asked is None or self.asked is problem.floats
        return wanted and (self.grouped or problem.groups == 1) and self.holds(problem, weights)

    def holds(self, problem: ConvProblem, weights: np.ndarray) -> bool:
        """Whether the operands fit its numbers."""
        if problem.src.dtype not in self.reads or (problem.wide and self.element == "i8"):
            return False
        limit = 128 if self.element == "i8" else 32768
        return bool(weights.min(initial=0) >= -limit and weights.max(initial=0) < limit)

    def parts(self, problem: ConvProblem) -> tuple[int, ...]:
        """``ConvSpec.parts`` to try, the first that is proven is taken."""
        return (1, 2) if problem.wide else (1,)

    def prove(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        """``spec`` with the ``depth`` (and ``start``) with which these weights cannot overflow; None where none is safe."""
        depth = self.depth(spec, packing, weights, act_max)
        return None if depth is None else replace(spec, depth=depth)

    def depth(self, spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
        """``ConvSpec.depth`` of :meth:`prove`."""
        return 1

    def believe(self, spec: ConvSpec, depth: int, packing: Packing, weights: np.ndarray, act_max: int) -> ConvSpec | None:
        """As :meth:`prove`, with a ``depth`` that is taken at its word."""
        return replace(spec, depth=depth)

    def relative_error(self, spec: ConvSpec) -> float | None:
        """Of a form that was ``asked`` for: R with |error| <= R (sum |x w| + |bias| + |residual|), but for underflow."""
        return None

    def winograd(self, m: int, problem: ConvProblem, facts: Facts) -> Terms | None:
        """How it multiplies numbers transformed for F(m x m, 3 x 3); None where they may not fit."""
        return None

    # What its kernel is given

    def source(self, src: Layout) -> Layout:
        """The layout it reads instead of the problem's."""
        return src

    def geometry(self, problem: ConvProblem) -> dict[str, Any]:
        """Of its kernel, which may read what :meth:`pack` made, as of another convolution."""
        return problem.geometry | {"src": self.source(problem.src)}

    def runs(self, spec: ConvSpec, k_group: int, window: int = 0) -> Runs:
        """Of its K loop."""
        return find_runs(spec, k_group, window)

    def centre(self, act_max: int) -> int:
        """``ConvSpec.centre``."""
        return 0

    def packing(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
        """How weights (N, kh, kw, C / groups) are laid out."""
        return panels(spec, self.element, self.rows, problem.groups, weights)

    def pack(self, spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> PackSpec | None:
        """The kernel that makes what it reads; of kind ``pack_kind``."""
        return None

    def table(self, packing: Packing) -> np.ndarray | None:
        """int32 of the argument ``t``."""
        return packing.window_start

    def bias_offset(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
        """int64[N]: the part of (sum << acc_shift) that the kernel leaves out."""
        return np.zeros(packing.n, np.int64)

    def choice(self, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> Choice:
        """Everything about a kernel whose spec is settled."""
        offset = self.bias_offset(spec, packing, problem, weights)
        return Choice(spec, packing, self.table(packing), self.pack(spec, problem, weights), offset)

    # What it costs

    def cost(self, target: Target) -> Cost:
        """Raises UnsupportedPrecision on a machine for which nobody said."""
        cost = self.gpu if target.machine == "cuda" else self.neon if "neon" in target.features else self.x86
        if cost is None:
            raise UnsupportedPrecision(f"form {self.name} has no cost on {target.name}; its family file gives them")
        return cost

    def packing_cycles(self, pack: PackSpec) -> float:
        """Of the kernel :meth:`pack`, without the call."""
        a_value, a_pixel = self.pack_cycles
        return pack.src.n * pack.src.hp * pack.src.wp * (pack.src.c * a_value + a_pixel)

    def tilings(self, load: Workload, target: Target) -> list[Tiling]:
        """Every tile it can take, with the model's cycles for the whole layer, fitted where ``target`` has fitted costs."""
        factor = read_costs(target.costs).factor(DIRECT, self.name)
        return [replace(found, cycles=found.cycles * factor) for found in self.cost(target).tilings(self, load, target)]

    def tried(self, mr: int, nr: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The tile and the unit (small) with which tests try it, where they would try (mr, nr)."""
        return (mr, nr), (3, 2)

    # How it is generated

    def tiles(self, spec: ConvSpec) -> int:
        """Tiles of pixels of the whole output."""
        return -(-spec.dst.pixels // spec.mr)

    def scratch_bytes(self, spec: ConvSpec) -> int:
        """``KernelSpec.scratch_bytes``."""
        return 0

    def inner_step(self, spec: ConvSpec, target: Target) -> Arithmetic:
        made: Arithmetic = named(self.arithmetic)(spec, target)
        return made

    def build(self, spec: ConvSpec, target: Target) -> Any:
        """The PrimFunc of ``spec``."""
        return named(self.builder)(spec, target)
