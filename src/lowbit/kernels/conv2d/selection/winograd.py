"""Which Winograd forms can compute a convolution exactly, their tiles, and what they would cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lowbit.kernels.conv2d.forms import fastest_first, find_form
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.forms.pairs import pair_constants
from lowbit.kernels.conv2d.forms.transformed import Facts
from lowbit.kernels.conv2d.selection.cost import winograd_name
from lowbit.kernels.conv2d.selection.problem import Choice, ConvProblem
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.packing import Packing
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.kernels.winograd.transforms import MATRICES, REACH
from lowbit.targets import Target
from lowbit.targets.costs import read_costs

__all__ = ["tilings", "winograd_choices", "winograd_cycles", "winograd_outcomes"]

_MIN_CHANNELS = 16
_SIZES = (4, 2)  # m, in the order in which they are tried


def winograd_choices(problem: ConvProblem, weights: np.ndarray, target: Target) -> Iterator[Choice]:
    """Every admissible Winograd form of ``problem``, each with the tile of the cost model."""
    return (choice for _, choice in winograd_outcomes(problem, weights, target) if choice is not None)


def winograd_outcomes(
    problem: ConvProblem, weights: np.ndarray, target: Target, form: Form | None = None
) -> Iterator[tuple[str, Choice | None]]:
    """(``winograd<m>-<form>``, its choice or None where it is not admissible) of every form that is tried, or of one."""
    p = problem
    same = (p.op, p.kernel, p.stride, p.dilation, p.groups) == ("conv2d", (3, 3), (1, 1), (1, 1), 1)
    if "winograd" in target.without:
        return
    if not same or p.wide or p.src.dtype not in ("u8", "f32") or p.src.stride % 16 or min(p.src.c, p.dst.c) < _MIN_CHANNELS:
        return
    facts = Facts(weights)
    seen = set()  # elements: a later form of the same kind is slower
    for tried in fastest_first(target, tuple(map(winograd_name, _SIZES))):
        other = (tried.element == "f32") != (p.src.dtype == "f32")
        if tried.cost(target).winograd is None or other or tried.element in seen or form not in (None, tried):
            continue
        drafts = {m: _draft(tried, m, p, facts) for m in _SIZES}
        if any(drafts.values()) and tried.settles:
            seen.add(tried.element)
        for m, spec in drafts.items():
            yield f"{winograd_name(m)}-{tried.name}", None if spec is None else _finish(_tiled(spec, target), weights)


def _draft(form: Form, m: int, p: ConvProblem, facts: Facts) -> WinogradSpec | None:
    """The spec without its tile, or None where the form could not hold the numbers."""
    if min(p.dst.h, p.dst.w) < m:
        return None
    if form.element != "f32" and (p.act_max * facts.reach >= REACH[m] or facts.largest > 128):
        return None
    terms = form.winograd(m, p, facts)
    if terms is None:
        return None
    return WinogradSpec(
        **p.geometry,
        act=p.act,
        weight=p.weight,
        form=form.name,
        m=m,
        k_group=form.k_group // form.rows,
        depth=terms.depth,
        mr=1,
        nr=16,
        tb=1,
        n_blocks=1,
        acc_shift=p.acc_shift,
        sign=p.sign,
        offset=terms.offset,
        first=terms.first,
        second=terms.second,
    )


def _finish(spec: WinogradSpec, weights: np.ndarray) -> Choice:
    n, c = weights.shape[0], weights.shape[3]
    packing = Packing(
        "panels", "f32" if spec.element == "f32" else "i8", n, 9, c, spec.steps * spec.k_group, spec.nr, spec.k_group, channels=c
    )
    find = (lambda: _bias_rows(spec, weights)) if spec.bias_rows else None
    return Choice(spec, packing, bias_offset=np.zeros(n, np.int64), find_bias_rows=find)


def _bias_rows(spec: WinogradSpec, weights: np.ndarray) -> np.ndarray:
    """int64[m * m][N]: what ``offset`` and pairs add to A^T M A, modulo 2^32."""
    matrices = MATRICES[spec.m]
    u = matrices.weights(weights)
    n, c = u.shape[2:]
    sums = spec.offset * u.sum(-1, dtype=np.int64)  # (p, p, N)
    sums[1, 1] = 0
    if spec.pairs:
        u = np.pad(u, ((0, 0), (0, 0), (0, 0), (0, spec.steps * spec.k_group - c)))
        flat = u.reshape(-1, 1, 1, u.shape[-1])
        sums += pair_constants(flat, spec.k_group, spec.first, spec.second, find_form(spec.form).mixed).reshape(sums.shape)
    rows = np.einsum("ik,kln,jl->ijn", matrices.at, sums, matrices.at).reshape(-1, n)
    return np.asarray((rows + 2**31) % 2**32 - 2**31)


_INPUT = {2: 35.0, 4: 125.0}  # cycles: one tile, one vector of channels
_OUTPUT = {2: 50.0, 4: 160.0}  # one tile, sixteen channels in 64-byte vectors
_WEIGHTS = {2: 30.0, 4: 80.0}  # one vector of weights
_FLOAT_WEIGHTS = {2: 40.0, 4: 160.0}
_UNITS = 16  # as in cost.py
_UNIT_CYCLES = 50_000


def _tiled(spec: WinogradSpec, target: Target) -> WinogradSpec:
    """The sizes with the fewest estimated cycles."""
    return min(tilings(spec, target), key=lambda tiled: winograd_cycles(tiled, target))


def tilings(spec: WinogradSpec, target: Target) -> list[WinogradSpec]:
    """``spec`` in every size that fits the registers and the level-2 cache."""
    cost = find_form(spec.form).cost(target)
    assert cost.winograd is not None
    lanes, held, temporaries = cost.lanes(target), cost.held(spec.depth), cost.winograd.temporaries
    found = []
    channels = -(-spec.dst.c // 16) * 16
    for nr in (nr for nr in (16, 32) if channels % nr == 0):
        blocks = channels // nr
        for n_blocks in sorted({1, -(-blocks // 4), -(-blocks // 2), blocks}):
            sized = replace(spec, nr=nr, n_blocks=n_blocks)
            room = int(target.l2_bytes * 1.6) - 4 * sized.scratch_words[0]
            most = room // (4 * spec.positions * (sized.words + nr))
            if most < min(spec.tiles, 4) and (n_blocks, nr) != (1, 16):
                continue
            fewest = -(-spec.tiles // max(most, min(spec.tiles, 4)))
            for parts in sorted({fewest, *(p for p in (2, 4, 8, 16) if p <= spec.tiles // 8)}):
                tb = -(-spec.tiles // parts)
                if tb > max(most, 4):
                    continue
                vectors = nr // lanes
                fits = (target.registers - temporaries - vectors * (2 if spec.pairs else 1)) // (vectors * held)
                # of the sizes that make equally many tiles, the smallest wastes least
                best = {-(-tb // mr): mr for mr in range(max(1, min(tb, 28, fits)), 0, -1)}
                found += [replace(sized, tb=tb, mr=mr) for mr in sorted(best.values())[-4:]]
    return found


def winograd_cycles(spec: WinogradSpec, target: Target) -> float:
    """Estimate of the whole layer, fitted where ``target`` has fitted costs."""
    cost = find_form(spec.form).cost(target)
    lanes, work = cost.lanes(target), cost.winograd_work(spec.depth)
    half = lanes / 16
    vectors = spec.nr // lanes
    parts = -(-spec.tiles // spec.tb)
    step = max(spec.mr * vectors * half * work + 0.2 * (spec.mr + vectors) * half, (spec.mr + vectors) * 0.5, 4.0)
    tile = spec.steps * step + 20 + 2 * spec.mr * vectors
    multiply = parts * -(-spec.tb // spec.mr) * spec.positions * spec.blocks * tile
    wide = target.vector_bytes // ELEMENT_BYTES[spec.element]
    tiles = parts * spec.tb
    given = spec.src.stride / wide * (_INPUT[spec.m] + 2 * spec.positions * spec.pairs) + 3 * spec.positions * spec.pairs
    transforms = tiles * (given + spec.blocks * spec.nr / 16 * _OUTPUT[spec.m] * 64 / target.vector_bytes)
    excess = max(0.0, spec.scratch_bytes - 0.65 * target.l2_bytes) * spec.blocks * parts / 12  # cycles to fetch it again
    floating = spec.element == "f32"
    rows = spec.blocks * (parts if spec.groups > 1 else 1) * spec.steps * spec.nr * spec.k_group
    weights = rows / max(16, target.vector_bytes / (4 if floating else 2)) * (_FLOAT_WEIGHTS if floating else _WEIGHTS)[spec.m]
    too_few = max(1.0, min(_UNITS, multiply / _UNIT_CYCLES) / spec.units)  # units for many threads
    typed = (multiply + excess + transforms + weights) * (1 + 0.02 * (too_few - 1)) + 1000 * parts * spec.groups
    return typed * read_costs(target.costs).factor(winograd_name(spec.m), spec.form)
