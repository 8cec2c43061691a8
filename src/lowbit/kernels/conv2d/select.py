"""Which kernel computes a convolution: the fastest form that the CPU has and the weights allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.exactness import int16_depth, int32_depth, lut_depth, maddubs_depth, pairs_depth, split_steps
from lowbit.kernels.conv2d.geometry import Runs, find_runs
from lowbit.kernels.conv2d.look_up import fits_index, product_table
from lowbit.kernels.conv2d.pack import split_parts, weight_blocks
from lowbit.kernels.conv2d.pairs import PAIRS, pair_constants, pair_offsets
from lowbit.kernels.conv2d.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.tiles import Tiling, fastest, tilings
from lowbit.kernels.forms import FORMS, Form
from lowbit.kernels.layout import ELEMENT_BYTES
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import ConvSpec, PackBitsSpec, PackFieldsSpec, PackPairsSpec, WinogradSpec
from lowbit.kernels.winograd.select import winograd_choices, winograd_cycles
from lowbit.targets import Target

__all__ = ["best", "choose", "describe", "estimate", "option", "options", "tilings_of"]


def choose(problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice:
    """The kernel for ``problem`` with ``weights`` (N, kh, kw, C / groups), logical integers or float32.

    Forms are tried in the order of the table.  Some are given up for a later one where that is estimated
    to be faster: bits and look-ups (the input must be packed first) and split (doubled steps).
    Raises UnsupportedPrecision where no form fits.
    """
    weights = np.asarray(weights)
    return best(options(problem, weights, target), problem, weights, target)


def options(problem: ConvProblem, weights: np.ndarray, target: Target) -> list[Choice]:
    """What :func:`choose` chooses from: the model's choice of each form that may be the fastest, in the
    order of the table."""
    found = []
    packed = set()  # elements of forms that pack their input: a later form of the same kind is slower
    for form in FORMS.values():
        if form.element in packed:
            continue
        choice = option(form, problem, weights, target)
        if choice is None:
            continue
        if isinstance(choice.pack, PackBitsSpec | PackFieldsSpec):
            packed.add(form.element)
        found.append(choice)
        if choice.pack is None and form.name not in _RELUCTANT:
            break
    return [*found, *winograd_choices(problem, weights, target)]


def option(form: Form, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The model's choice of this form; None where the CPU lacks it, the operands do not fit or its proof fails."""
    if not form.available(target) or not _fits(form, problem, weights):
        return None
    return _try(form, problem, weights, target)


def best(found: list[Choice], problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice:
    """The choice estimated to be fastest.  Raises UnsupportedPrecision where there is none."""
    if not found:
        names = ", ".join(form.name for form in FORMS.values() if form.available(target))
        raise UnsupportedPrecision(
            f"{problem.layer} ({problem.op}): no {problem.act} x {problem.weight} kernel for {target.name} with inputs up to "
            f"{problem.act_max} and weights {weights.min(initial=0)}..{weights.max(initial=0)}; forms of this target: {names}"
        )
    return min(found, key=lambda choice: estimate(choice, target))


_RELUCTANT = ("u8_split", "u8_smull_pairs")
_PACK_COST = {"pack_bits": 0.25, "pack_fields": 0.1, "pack_pairs": 0.1}  # cycles an input value
_PIXEL_COST = {"pack_pairs": 15.0}  # and an input pixel
_CALL_COST = 3000.0  # cycles to hand out one more kernel


def estimate(choice: Choice, target: Target) -> float:
    """Cycles of this choice with its form's best tile, by the model."""
    if isinstance(choice.spec, WinogradSpec):
        return winograd_cycles(choice.spec, target)
    return min(tiling.cycles for tiling in tilings_of(choice, target))


def tilings_of(choice: Choice, target: Target) -> list[Tiling]:
    """Every tile that the choice's form can take; ``cycles`` with those of packing the input."""
    spec = choice.spec
    assert isinstance(spec, ConvSpec)
    runs = find_runs(spec.src, spec.kernel, spec.dilation, spec.k_group, spec.window)
    found = _tilings(spec, runs, target, choice.split)
    if choice.pack is None:
        return found
    src = choice.pack.src
    a_pixel = src.c * _PACK_COST[choice.pack.kind] + _PIXEL_COST.get(choice.pack.kind, 0.0)
    packing = src.n * src.hp * src.wp * a_pixel + _CALL_COST
    return [replace(tiling, cycles=tiling.cycles + packing) for tiling in found]


def _tilings(spec: ConvSpec, runs: Runs, target: Target, split: float = 0.0) -> list[Tiling]:
    """``split``: fraction of the steps that are done twice."""
    pitch = spec.stride[1] * spec.src.stride * ELEMENT_BYTES[spec.src.dtype]
    steps = runs.count * runs.steps(spec.k_group) * (1.0 + split)
    one_row = spec.stride == spec.kernel == (1, 1) and not spec.src.halo
    linear = one_row or spec.dst.h == spec.dst.n == 1
    return tilings(spec.form, target, spec.dst, steps, runs.count, pitch, linear, spec.parts, spec.depth, bool(spec.window))


def _fits(form: Form, problem: ConvProblem, weights: np.ndarray) -> bool:
    """Whether the form can hold the operands, not looking at sums."""
    if form.element == "bit":
        bits = problem.weight == "b1" and problem.act in ("u1", "b1") and problem.src.dtype == "u8"
        return bits and problem.groups == 1  # a bit is -1 or +1: no zeros outside a group
    if form.element == "index":
        small = problem.act_max < 2**form.bits and fits_index(weights, form.bits)
        return small and problem.src.dtype == "u8" and problem.groups == 1
    if problem.src.dtype not in form.storage or (problem.wide and form.element == "i8"):
        return False
    if form.name in PAIRS:
        return problem.groups == 1 and problem.src.stride % 16 == 0 and pair_offsets(form, weights, problem.act_max) is not None
    if form.element == "f32":
        return True
    if form.name == "u8_smull_pairs":  # what lies behind a run's last value would be multiplied, too
        runs = find_runs(problem.src, problem.kernel, problem.dilation, form.k_group)
        if problem.groups > 1 or runs.length % form.k_group:
            return False
    limit = 128 if form.element == "i8" else 32768
    return bool(weights.min(initial=0) >= -limit and weights.max(initial=0) < limit)


def _try(form: Form, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The choice of this form, or None where its proof fails."""
    for parts in (1, 2) if problem.wide else (1,):
        # which weights share a lane does not depend on nr, except in grouped layers, which keep _PROOF_NR
        spec = _draft(form, problem, parts)
        depth = _depth(spec, _packing(spec, problem, weights), weights, problem.act_max)
        if depth is None or (form.name == "u8_split" and problem.groups > 1):
            continue
        spec = replace(spec, depth=depth)
        tiling = fastest(_tilings(spec, find_runs(spec.src, problem.kernel, problem.dilation, form.k_group), target))
        return describe(form, problem, weights, (tiling.mr, tiling.nr), (tiling.m_tiles, tiling.n_blocks), depth, parts)
    return None


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
    packing = _packing(spec, problem, weights)
    if form.element == "index":
        return _look_up(form, spec, packing, problem, weights)
    if depth is None:
        depth = _depth(spec, packing, weights, problem.act_max)
    if depth is None:
        raise UnsupportedPrecision(f"{problem.layer} ({problem.op}): form {form.name} could overflow with these weights")
    spec = replace(spec, window=packing.window, depth=depth)
    if form.name == "u8_split":
        return _split(spec, packing, weights, problem.act_max)
    offset = np.zeros(packing.n, np.int64)
    if form.element == "bit":
        offset += (weights > 0).sum(axis=(1, 2, 3), dtype=np.int64) << spec.acc_shift
    if form.name in _SIGNED:
        offset += spec.start * weights.sum(axis=(1, 2, 3), dtype=np.int64) << spec.acc_shift
    if form.name == "u8_smull_pairs":
        rows = weight_blocks(weights.reshape(packing.n, -1), packing).astype(np.int64)
        products = (rows[:, 0::2] * rows[:, 1::2]).sum((1, 3)).reshape(-1)[: packing.n]
        offset -= products << spec.acc_shift
    pack: PackBitsSpec | PackPairsSpec | None = PackBitsSpec(problem.src, spec.src) if form.element == "bit" else None
    if form.name in PAIRS:
        offsets = pair_offsets(form, weights, problem.act_max)
        assert offsets is not None
        pack = PackPairsSpec(problem.src, spec.src, *offsets)
        padded = np.pad(weights, ((0, 0), (0, 0), (0, 0), (0, spec.src.c - weights.shape[3])))
        offset -= pair_constants(padded, form.k_group // 2, *offsets) << spec.acc_shift
    return Choice(spec, packing, packing.window_start, pack, offset)


def _look_up(form: Form, spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> Choice:
    safe = _bytes(spec, packing, weights, problem.act_max)
    if safe is None:
        raise UnsupportedPrecision(f"{problem.layer} ({problem.op}): form {form.name} could overflow with these weights")
    spec = replace(spec, depth=safe[0], start=safe[1])
    pack = PackFieldsSpec(problem.src, spec.src, form.k_group, form.bits)
    return Choice(spec, packing, product_table(form.k_group, form.bits), pack, np.zeros(packing.n, np.int64))


def _draft(form: Form, problem: ConvProblem, parts: int) -> ConvSpec:
    """The spec before its tile is known; ``window`` only says whether there is one."""
    p, src = problem, problem.src
    if form.element == "bit":
        src = replace(src, dtype="bits", stride=-(-src.c // 32) * 4)
    k_group = form.k_group
    if form.name in PAIRS:
        wide = form.element == "i16"
        src = replace(src, dtype="i16" if wide else "u8", c=src.stride, stride=src.stride + (2 if wide else 4))
    if form.element == "index":
        c = -(-src.c // form.k_group)
        src, k_group = replace(src, c=c, stride=-(-c // 16) * 16), 1
    return ConvSpec(
        p.op, src, p.dst, p.residual, p.kernel, p.stride, p.dilation, p.padding, p.act, p.weight, form.name, k_group,
        1, 1, _PROOF_NR, 1, 1, p.acc_shift, p.wide, parts, p.sign, int(p.groups > 1),
        _start(form, p.act_max),
    )  # fmt: skip


_PROOF_NR = 16
_SIGNED, _FLIPPED = ("u8_sdot", "u8_smull", "u8_smull_pairs"), 128  # forms that multiply signed bytes; see neon.py
_PAIRS_BATCH = 4  # steps of u8_smull_pairs whose inputs are loaded at once
_BATCH = 8  # steps of u8_smull and bit_cnt whose inputs are loaded at once


def _start(form: Form, act_max: int) -> int:
    """``ConvSpec.start`` of forms of signed bytes."""
    if form.name == "u8_smull_pairs":
        return (act_max + 1) // 2
    return _FLIPPED if form.name in _SIGNED and act_max >= _FLIPPED else 0


def _packing(spec: ConvSpec, problem: ConvProblem, weights: np.ndarray) -> Packing:
    """Panels of ``spec.nr`` channels; for a grouped layer, with the windows of its blocks."""
    n, per_group = weights.shape[0], weights.shape[3]
    form = FORMS[spec.form]
    if form.element == "index":
        taps, padded = spec.kernel[0] * spec.kernel[1], spec.src.c * form.k_group
        return Packing("panels", "index", n, taps, per_group, padded, spec.nr, form.k_group, channels=per_group, bits=form.bits)
    if spec.form in PAIRS:  # a step is two rows of the panel
        taps = spec.kernel[0] * spec.kernel[1]
        return Packing("panels", form.element, n, taps, per_group, spec.src.c, spec.nr, form.k_group // 2, channels=per_group)
    starts, window = _windows(n, problem.groups, per_group, spec.nr) if problem.groups > 1 else (None, 0)
    runs = find_runs(spec.src, spec.kernel, spec.dilation, spec.k_group, window)
    return Packing(
        "panels", form.element, n, runs.count, per_group if window else runs.length, runs.padded, spec.nr,
        spec.k_group // (2 if spec.form == "u8_smull_pairs" else 1), spec.parts, problem.groups, window, starts,
        channels=per_group,
    )  # fmt: skip


def _windows(n: int, groups: int, per_group: int, nr: int) -> tuple[np.ndarray, int]:
    """First input channel each block of ``nr`` outputs reads, and how many any block needs."""
    outputs = n // groups
    first = np.arange(0, n, nr) // outputs * per_group
    last = (np.minimum(np.arange(nr, n + nr, nr), n) - 1) // outputs * per_group + per_group
    window = int((last - first).max())
    # windows end within the pixel
    return np.minimum(first, groups * per_group - window).astype(np.int32), window


def _depth(spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> int | None:
    """``ConvSpec.depth`` that the weights allow; None where the form could overflow."""
    if packing.element == "index":
        safe = _bytes(spec, packing, weights, act_max)
        return None if safe is None else safe[0]
    if spec.form == "bit_shuffle":
        return 0 if packing.steps <= _BYTE_STEPS else _BYTE_STEPS
    if spec.form == "bit_cnt":
        return _counted_depth(spec, packing)
    if spec.form == "i16_maddwd_pairs":  # products of sums are as large as (act_max + |w|)^2
        most = (act_max + int(np.abs(weights).max(initial=0))) ** 2 * packing.steps * packing.k_group
        return 1 if most <= _INT32 else None
    if spec.form not in ("u8_maddubs", "u8_smull", "u8_smull_pairs") and not spec.form.startswith("i16"):
        return 1
    blocks = weight_blocks(weights.reshape(packing.n, -1), packing)
    run_steps = packing.run_pad // packing.k_group
    if spec.form == "u8_maddubs":
        return maddubs_depth(blocks, act_max, run_steps)
    if spec.form == "u8_smull_pairs":
        return pairs_depth(blocks, -spec.start, act_max - spec.start, run_steps // 2, _PAIRS_BATCH)
    if spec.form == "u8_smull":
        return int16_depth(blocks, -spec.start, act_max - spec.start, run_steps, _BATCH)
    if spec.parts == 1:
        depth = int32_depth(blocks, act_max, run_steps)
        # widening more often than that costs more than two parts, each summed in long blocks
        short = depth is not None and 0 < depth < min(_SHORT, run_steps)
        return None if short or (depth and not spec.wide) else depth
    depths = [int32_depth(part, act_max, run_steps) for part in split_parts(blocks)]
    return None if None in depths else min(depths, key=lambda d: d or 1 << 30)


def _bytes(spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> tuple[int, int] | None:
    """``lut_depth`` of these weights."""
    runs = find_runs(spec.src, spec.kernel, spec.dilation, spec.k_group)
    return lut_depth(weight_blocks(weights.reshape(packing.n, -1), packing), act_max, runs.steps(spec.k_group))


def _counted_depth(spec: ConvSpec, packing: Packing) -> int | None:
    """Of ``bit_cnt``: all steps, or equal blocks of whole batches.  The sum of all counts must stay in int16."""
    if packing.steps * packing.k_group > _INT16:
        return None
    if packing.steps <= _BYTE_STEPS:
        return 0
    batches = -(-(packing.run_pad // packing.k_group) // _BATCH)
    blocks = -(-batches // (_BYTE_STEPS // _BATCH))
    return _BATCH * -(-batches // blocks)


_INT16, _INT32 = 32767, 2**31 - 1
_BYTE_STEPS = 31  # a step adds at most 8 to a byte counter: 31 * 8 < 256
_SHORT = 8


def _split(spec: ConvSpec, packing: Packing, weights: np.ndarray, act_max: int) -> Choice:
    blocks = weight_blocks(weights.reshape(packing.n, -1), packing)
    split = split_steps(blocks, act_max)
    run, k = np.divmod(np.arange(packing.steps), packing.run_pad // packing.k_group)
    ky, kx = np.divmod(run, packing.runs // spec.kernel[0])
    pixel = spec.src.stride
    at = ky * spec.dilation[0] * spec.src.wp * pixel + kx * spec.dilation[1] * pixel + k * packing.k_group
    packing = replace(packing, split=split, offsets=at.astype(np.int32))
    return Choice(spec, packing, packing.table, None, np.zeros(packing.n, np.int64), float(split.mean()))
