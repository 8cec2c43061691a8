"""What can be decided about how a convolution is computed, and the name of a problem in a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from lowbit.kernels.conv2d.selection.cost import DIRECT, winograd_name
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.layout import Layout
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.numerics.float_products import FLOAT32

__all__ = ["Decision", "Key", "decision_of", "key_of", "state_of"]


@dataclass(frozen=True)
class Decision:
    """``algorithm``: a name in ``REALIZERS`` of decide.py.  ``form``: a name in the table of forms.  The rest as in
    ConvSpec: pixels and channels of a tile, tiles and channel blocks of a unit; ``m_tiles`` is ``tb`` of WinogradSpec.

    What the weights must prove (depth, parts) is no part of it: it is proven anew wherever a decision is used.
    """

    algorithm: str
    form: str
    mr: int
    nr: int
    m_tiles: int
    n_blocks: int

    def __str__(self) -> str:
        name = self.form if self.algorithm == DIRECT else f"{self.algorithm} {self.form}"
        return f"{name} {self.mr}x{self.nr} u{self.m_tiles}x{self.n_blocks}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Raises ValueError for anything :meth:`to_json` would not give."""
        types = {f.name: str if f.type == "str" else int for f in fields(cls)}
        if set(data) != set(types) or any(type(data[name]) is not kind for name, kind in types.items()):
            raise ValueError(f"not a decision: {data!r}")
        return cls(**data)


def decision_of(choice: Choice) -> Decision:
    """What was decided to come to ``choice``."""
    spec = choice.spec
    if isinstance(spec, WinogradSpec):
        return Decision(winograd_name(spec.m), spec.form, spec.mr, spec.nr, spec.tb, spec.n_blocks)
    return Decision(DIRECT, spec.form, spec.mr, spec.nr, spec.m_tiles, spec.n_blocks)


class Key(NamedTuple):
    """What a measurement holds for.  ``problem``: everything but the weights and the layer's name.  ``allows``: what
    the weights allowed, as far as forms were tried: ``name:state`` each, separated by commas (:func:`state_of`)."""

    problem: str
    allows: str

    @property
    def states(self) -> dict[str, str]:
        return dict(entry.split(":", 1) for entry in self.allows.split(",") if entry)


def key_of(problem: ConvProblem, outcomes: Mapping[str, Choice | None]) -> Key:
    """The key of a problem whose weights have these ``select.outcomes``."""
    return Key(_text(problem), ",".join(f"{name}:{state_of(choice)}" for name, choice in outcomes.items()))


def state_of(choice: Choice | None) -> str:
    """What the weights prove for a form: depth, parts, doubled steps in sixteenths; ``-`` where it is not admissible."""
    if choice is None:
        return "-"
    if isinstance(choice.spec, WinogradSpec):
        return str(choice.spec.depth)
    parts = f"*{choice.spec.parts}" if choice.spec.parts > 1 else ""
    split = f"/{round(16 * choice.split)}" if choice.split else ""
    return f"{choice.spec.depth}{parts}{split}"


def _text(problem: ConvProblem) -> str:
    p = problem
    entries = {
        "": f"{p.op} {p.act}x{p.weight}",
        "max": p.act_max,
        "shift": p.acc_shift,
        "sign": int(p.sign),
        "k": _pair(p.kernel),
        "s": _pair(p.stride),
        "d": _pair(p.dilation),
        "p": _pair(p.padding),
        "g": p.groups,
        "src": _layout(p.src),
        "dst": _layout(p.dst),
        "res": "none" if p.residual is None else _layout(p.residual),
        **({} if p.floats is FLOAT32 else {"float": p.floats.name}),
    }
    return " ".join(f"{name}={value}" if name else str(value) for name, value in entries.items())


def _pair(values: tuple[int, int]) -> str:
    return f"{values[0]}x{values[1]}"


def _layout(at: Layout) -> str:
    halo = f"+{at.top},{at.left},{at.bottom},{at.right}" if at.halo else ""
    return f"{at.n}x{at.h}x{at.w}x{at.c}/{at.stride}{at.dtype}{halo}"
