"""Which measured loop says how fast a layer could be: from the spec in the manifest, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.kernels.conv2d.forms.form import Form

__all__ = ["Finish", "Sequence", "finish_of", "multiplications_saved", "plain_sequences", "sequence_of"]

_LONG = 64  # steps a block from which widening costs nothing: the length of the measured loop


@dataclass(frozen=True, order=True)
class Sequence:
    """What an inner loop repeats: a form of the table, steps between widenings (0 = none), parts of a
    weight, float64 sums, and the dtype of the input."""

    form: str
    depth: int = 0
    parts: int = 1
    wide: bool = False
    src: str = "u8"

    def __str__(self) -> str:
        """``<form> d8 x2 i16``: form, depth, parts, input."""
        depth = f" d{self.depth}" if self.depth else ""
        return f"{self.form}{depth}{f' x{self.parts}' if self.parts > 1 else ''}{' wide' if self.wide else ''} {self.src}"


@dataclass(frozen=True, order=True)
class Finish:
    """How a tile's sums become results: the form they come from, the dtype of the output and of the residual
    ("" for none), float64 sums, sign output."""

    form: str
    dst: str
    residual: str = ""
    wide: bool = False
    sign: bool = False

    def __str__(self) -> str:
        kept = [self.form, self.dst, self.residual and f"+{self.residual}", "wide" * self.wide, "sign" * self.sign]
        return "write " + " ".join(word for word in kept if word)


def plain_sequences(target: Target, name: str = "") -> list[Sequence]:
    """The loops of every form that ``target`` has (or of one), one for each type of input, where sums are widened as
    rarely as the form ever does it."""
    from lowbit.kernels.conv2d.forms import FORMS

    known = [form for form in FORMS.values() if form.available(target) and name in ("", form.name)]
    forms = [form for form in known if form.arithmetic and not form.repeats]
    plain = [Sequence(form.name, form.longest, src=src) for form in forms for src in form.reads]
    return plain + [_of_tiles(form, 2 if form.wide or form.asked else 1) for form in known if form.loop]


def _of_tiles(form: Form, planes: int, parts: int = 0) -> Sequence:
    """Of a form with a loop of its own; ``planes`` of its inputs; ``parts`` of a weight, as many by default."""
    src = form.reads[0] if planes == 1 or form.asked else "i16"
    return Sequence(form.name, 0, parts or planes, form.wide, src)


def sequence_of(spec: Mapping[str, Any], target: Target) -> tuple[Sequence, float] | None:
    """(loop, plain multiply-accumulates of the layer for one of the loop); None for a form that no loop is known for.

    A depthwise kernel multiplies with the 16-bit instructions, two kernel rows at a time: an odd row wastes half.
    A Winograd kernel multiplies ``multiplications_saved`` times less than the plain algorithm.
    """
    from lowbit.kernels.conv2d.forms import FORMS, fastest_first
    from lowbit.kernels.conv2d.forms.float32 import FLOAT32

    name = str(spec.get("form", ""))
    if spec["kind"] == "depthwise":
        rows = spec["kernel"][0]
        if name == FLOAT32.name:
            return Sequence(name, src="f32"), 1.0
        same = next((form for form in fastest_first(target.typed) if form.depthwise), None)
        if same is None:
            return None
        return Sequence(same.name, src="i16"), rows / (2 * -(-rows // 2)) / (2 if spec["wide"] else 1)
    form = FORMS.get(name)
    if spec["kind"] not in ("conv2d", "winograd") or form is None or not form.available(target):
        return None
    if form.loop:
        return _of_tiles(form, spec["src"]["n"] // spec["dst"]["n"], spec["parts"]), 1.0
    if not form.arithmetic:
        return None
    # one step a block is no block at all, but where products are widened (narrow sums, float64 sums)
    unblocked = spec["depth"] == 1 and form.sum_bits == 32 and not spec.get("wide")
    depth = 0 if unblocked or spec["depth"] >= _LONG else spec["depth"]
    loop = form.repeats or name
    if spec["kind"] == "winograd":  # what it multiplies are transformed inputs, in the form's own type
        return Sequence(loop, depth, src=form.reads[0]), multiplications_saved(spec)
    return Sequence(loop, depth, spec["parts"], spec["wide"], spec["src"]["dtype"]), 1.0


def finish_of(spec: Mapping[str, Any], target: Target) -> Finish | None:
    """How a layer with this spec writes its results; None where :func:`sequence_of` is, and for Winograd kernels, which
    transform their sums first."""
    found = sequence_of(spec, target)
    if found is None or spec["kind"] == "winograd":
        return None
    residual = spec["residual"]["dtype"] if spec["residual"] else ""
    return Finish(found[0].form, spec["dst"]["dtype"], residual, spec["wide"], spec["sign"])


def multiplications_saved(spec: Mapping[str, Any]) -> float:
    """Multiply-accumulates of the plain algorithm for each of the kernel's: 9 m^2 / (m + 2)^2 for Winograd's F(m x m, 3 x 3),
    else 1."""
    m = spec["m"] if spec["kind"] == "winograd" else 0
    return 9 * m * m / (m + 2) ** 2 if m else 1.0
