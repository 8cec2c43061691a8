"""The table of forms: how a dense convolution can multiply and add, one line a family of instructions."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.forms import (
    amx,
    bits,
    dot,
    float32,
    look_up,
    maddubs,
    neon,
    pairs,
    portable,
    tensor_core,
    vnni,
)
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.selection.cost import DIRECT
from lowbit.targets import Target
from lowbit.targets.costs import read_costs

__all__ = ["FAMILIES", "FORMS", "fastest_first", "find_form"]

FAMILIES: tuple[tuple[Form, ...], ...] = (
    bits.FORMS,  # logic and counts of ones
    look_up.FORMS,  # tables of sums of narrow products
    maddubs.FORMS,  # AVX2 and SSE2: products in 16 bits, and of int16
    pairs.FORMS,  # two products in one multiplication
    vnni.FORMS,  # products and sums in one instruction
    amx.FORMS,  # products of tiles
    neon.FORMS,  # NEON, and sdot
    portable.FORMS,  # any CPU
    float32.FORMS,
    dot.FORMS,  # four products of bytes in an instruction of GPUs
    tensor_core.FORMS,  # integer tensor cores of GPUs
)

FORMS: dict[str, Form] = {form.name: form for family in FAMILIES for form in family}


def find_form(name: str) -> Form:
    """Raises UnsupportedPrecision with the names of all forms."""
    if name not in FORMS:
        raise UnsupportedPrecision(f"no kernel of form {name!r}; forms: {', '.join(FORMS)}")
    return FORMS[name]


def fastest_first(target: Target, algorithms: Sequence[str] = (DIRECT,)) -> list[Form]:
    """The forms of ``target`` by the cycles of a product alone, as its cost model has them for the best of ``algorithms``;
    equals in the table's order."""
    costs = read_costs(target.costs)

    def cycles(form: Form) -> float:
        return form.cost(target).pace(form.k_group) * min(costs.factor(algorithm, form.name) for algorithm in algorithms)

    return sorted((form for form in FORMS.values() if form.available(target)), key=cycles)
