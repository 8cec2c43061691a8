"""Which kernel computes a convolution: the fastest form that the CPU has and the weights allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.forms import FORMS, fastest_first, find_form
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.runs import Runs
from lowbit.kernels.conv2d.selection.cost import Tiling, Workload, fastest
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem, PackSpec
from lowbit.kernels.conv2d.selection.winograd import winograd_cycles, winograd_outcomes
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import Target

__all__ = ["best", "choose", "describe", "estimate", "option", "options", "outcome", "outcomes", "tilings_of"]


def choose(problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice:
    """The kernel for ``problem`` with ``weights`` (N, kh, kw, C / groups), logical integers or float32: of
    :func:`options` the one estimated to be fastest.  Raises UnsupportedPrecision where no form fits."""
    weights = np.asarray(weights)
    return best(options(problem, weights, target), problem, weights, target)


def options(problem: ConvProblem, weights: np.ndarray, target: Target) -> list[Choice]:
    """The model's choice of each form that may be the fastest and is admissible: those of :func:`outcomes`."""
    return [choice for choice in outcomes(problem, weights, target).values() if choice is not None]


def outcomes(problem: ConvProblem, weights: np.ndarray, target: Target) -> dict[str, Choice | None]:
    """Form (or Winograd's algorithm and form) -> the model's choice of it, None where it is not admissible; of those that
    may be the fastest, by the speed of their multiplications.

    A form that costs nothing beside them ends the search.  Of forms that pack their input in the same way the first that
    fits is the fastest."""
    found: dict[str, Choice | None] = {}
    packed: set[str] = set()
    for form in fastest_first(target):
        if form.pack_kind in packed:
            continue
        found[form.name] = choice = option(form, problem, weights, target)
        if choice is None:
            continue
        if form.settles:
            break
        packed |= {form.pack_kind} - {""}
    return found | dict(winograd_outcomes(problem, weights, target))


def outcome(name: str, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """One of :func:`outcomes`, whether it would be tried or not; None for a name that nobody has."""
    form = FORMS.get(name.rpartition("-")[2])
    if form is None:
        return None
    if form.name == name:
        return option(form, problem, weights, target)
    return dict(winograd_outcomes(problem, weights, target, form)).get(name)


def option(form: Form, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The model's choice of this form; None where the CPU lacks it, the operands do not fit or its proof fails."""
    if not form.available(target) or not form.fits(problem, weights):
        return None
    for parts in form.parts(problem):
        # which weights share a lane does not depend on nr, except in grouped layers, which keep _PROOF_NR
        draft = _draft(form, problem, parts)
        spec = form.prove(draft, form.packing(draft, problem, weights), weights, problem.act_max)
        if spec is not None:
            runs = form.runs(spec, form.k_group)
            tiling = fastest(form.tilings(_workload(spec, runs), target))
            tile, unit = (tiling.mr, tiling.nr), (tiling.m_tiles, tiling.n_blocks)
            return describe(form, problem, weights, tile, unit, spec.depth, parts)
    return None


def best(found: list[Choice], problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice:
    """The choice estimated to be fastest.  Raises UnsupportedPrecision where there is none."""
    if not found:
        names = ", ".join(form.name for form in fastest_first(target))
        raise UnsupportedPrecision(
            f"{problem.layer} ({problem.op}): no {problem.act} x {problem.weight} kernel for {target.name} with inputs up to "
            f"{problem.act_max} and weights {weights.min(initial=0)}..{weights.max(initial=0)}; forms of this target: {names}"
        )
    return min(found, key=lambda choice: estimate(choice, target))


_CALL_COST = 3000.0  # cycles to hand out one more kernel


def estimate(choice: Choice, target: Target) -> float:
    """Cycles of this choice with its form's best tile, by the model."""
    if isinstance(choice.spec, WinogradSpec):
        return winograd_cycles(choice.spec, target)
    return min(tiling.cycles for tiling in tilings_of(choice, target))


def tilings_of(choice: Choice, target: Target) -> list[Tiling]:
    """Every tile that the choice's form can take; ``cycles`` with those of packing the input."""
    assert isinstance(choice.spec, ConvSpec)
    spec, form = choice.spec, find_form(choice.spec.form)
    packing = _packing_cycles(form, choice.pack)
    runs = form.runs(spec, spec.k_group, spec.window)
    found = form.tilings(_workload(spec, runs, choice.split), target)
    return [replace(tiling, cycles=tiling.cycles + packing) for tiling in found]


def _packing_cycles(form: Form, pack: PackSpec | None) -> float:
    if pack is None:
        return 0.0
    return form.packing_cycles(pack) + _CALL_COST


def _workload(spec: ConvSpec, runs: Runs, split: float = 0.0) -> Workload:
    """``split``: fraction of the steps that are done twice."""
    one_row = spec.stride == spec.kernel == (1, 1) and not spec.src.halo
    return Workload(
        dst=spec.dst,
        steps=runs.count * runs.steps(spec.k_group) * (1.0 + split),
        runs=runs.count,
        pitch=spec.stride[1] * spec.src.stride * ELEMENT_BYTES[spec.src.dtype],
        linear=one_row or spec.dst.h == spec.dst.n == 1,
        parts=spec.parts,
        depth=spec.depth,
        window=bool(spec.window),
        at=spec,
    )


def describe(
    form: Form,
    problem: ConvProblem,
    weights: np.ndarray,
    tile: tuple[int, int],
    unit: tuple[int, int],
    depth: int | None = None,
    parts: int = 1,
) -> Choice:
    """The choice with this form, tile (mr, nr), unit (m_tiles, n_blocks), depth and parts, taken at
    its word except that ``depth`` None is proven.  Raises UnsupportedPrecision where no depth is safe."""
    (mr, nr), (m_tiles, n_blocks) = tile, unit
    spec = replace(_draft(form, problem, parts), mr=mr, nr=nr, m_tiles=m_tiles, n_blocks=n_blocks)
    packing = form.packing(spec, problem, weights)
    spec = replace(spec, window=packing.window)
    if depth is None:
        proven = form.prove(spec, packing, weights, problem.act_max)
    else:
        proven = form.believe(spec, depth, packing, weights, problem.act_max)
    if proven is None:
        raise UnsupportedPrecision(f"{problem.layer} ({problem.op}): form {form.name} could overflow with these weights")
    return form.choice(proven, packing, problem, weights)


def _draft(form: Form, problem: ConvProblem, parts: int) -> ConvSpec:
    """The spec before its tile is known; ``window`` only says whether there is one."""
    p = problem
    return ConvSpec(
        **form.geometry(p),
        op=p.op,
        act=p.act,
        weight=p.weight,
        form=form.name,
        k_group=form.group,
        depth=1,
        mr=1,
        nr=_PROOF_NR,
        m_tiles=1,
        n_blocks=1,
        acc_shift=p.acc_shift,
        wide=p.wide,
        parts=parts,
        sign=p.sign,
        window=int(p.groups > 1),
        centre=form.centre(p.act_max),
    )


_PROOF_NR = 16
