"""Which kernel computes a convolution: the fastest form that the CPU has and the weights allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowbit.errors import UnsupportedPrecision
from lowbit.kernels.conv2d.exactness import int32_depth, maddubs_depth, split_steps
from lowbit.kernels.conv2d.geometry import Runs, find_runs
from lowbit.kernels.conv2d.pack import weight_blocks
from lowbit.kernels.conv2d.problem import Choice, ConvProblem
from lowbit.kernels.conv2d.tiles import Tiling, choose_tiling
from lowbit.kernels.forms import FORMS, Form
from lowbit.kernels.layout import Layout
from lowbit.kernels.packing import Packing
from lowbit.kernels.spec import ConvSpec
from lowbit.targets import Target

__all__ = ["choose"]

_BITS_GAIN = 1.3  # packing the input must pay


def choose(problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice:
    """The kernel for ``problem`` with ``weights`` (N, kh, kw, C / groups), logical integers or float32.

    Raises UnsupportedPrecision where no form fits.
    """
    weights = np.asarray(weights)
    wanted = [form for form in FORMS.values() if form.available(target)]
    choices = (_try(form, problem, weights, target) for form in wanted if _fits(form, problem, weights))
    first = next((choice for choice in choices if choice is not None), None)
    if first is None:
        names = ", ".join(form.name for form in wanted)
        raise UnsupportedPrecision(
            f"{problem.layer} ({problem.op}): no {problem.act} x {problem.weight} kernel for {target.name} with inputs up to "
            f"{problem.act_max} and weights {weights.min(initial=0)}..{weights.max(initial=0)}; forms of this target: {names}"
        )
    if first.needs_bits:
        plain = choose_without_bits(problem, weights, target)
        if plain is not None and _cycles(first, target) * _BITS_GAIN > _cycles(plain, target):
            return plain
    return first


def choose_without_bits(problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The best choice that reads the problem's own source layout, or None."""
    for form in FORMS.values():
        if form.element != "bit" and form.available(target) and _fits(form, problem, weights):
            choice = _try(form, problem, weights, target)
            if choice is not None:
                return choice
    return None


def _cycles(choice: Choice, target: Target) -> float:
    spec = choice.spec
    runs = find_runs(spec.src, spec.kernel, spec.dilation, spec.k_group, spec.window)
    return choose_tiling(spec.form, target, spec.dst, runs.count * runs.steps(spec.k_group), _linear(spec)).cycles


def _fits(form: Form, problem: ConvProblem, weights: np.ndarray) -> bool:
    """Whether the form can hold the operands, not looking at sums."""
    if form.element == "bit":
        return problem.weight == "b1" and problem.act in ("u1", "b1") and problem.src.dtype == "u8" and problem.groups == 1
    if problem.src.dtype not in form.storage:
        return False
    if form.element == "f32":
        return True
    limit = 128 if form.element == "i8" else 32768
    if problem.wide and form.element == "i8":
        return False
    return bool(weights.min(initial=0) >= -limit and weights.max(initial=0) < limit)


def _linear(spec: ConvSpec) -> bool:
    return spec.stride == (1, 1) and spec.kernel == (1, 1) and not spec.src.halo or spec.dst.h == spec.dst.n == 1


def _bits_layout(src: Layout) -> Layout:
    return replace(src, dtype="bits", stride=-(-src.c // 32) * 4)


def _try(form: Form, problem: ConvProblem, weights: np.ndarray, target: Target) -> Choice | None:
    """The choice of this form, or None where its proof fails."""
    src = _bits_layout(problem.src) if form.element == "bit" else problem.src
    for parts in (1, 2) if problem.wide else (1,):
        draft = ConvSpec(
            problem.op, src, problem.dst, problem.residual, problem.kernel, problem.stride, problem.dilation, problem.padding,
            problem.act, problem.weight, form.name, form.k_group, 1, 1, 16, 1, 1, problem.acc_shift, problem.wide, parts,
            problem.sign,
        )  # fmt: skip
        runs = find_runs(src, problem.kernel, problem.dilation, form.k_group)
        steps = runs.count * runs.steps(form.k_group)
        tiling = choose_tiling(form.name, target, problem.dst, steps, _linear(draft), parts, problem.groups > 1)
        packing, spec = _panels(draft, problem, weights, form, runs, tiling)
        choice = _proven(spec, packing, problem, weights)
        if choice is not None:
            return choice
    return None


def _panels(
    draft: ConvSpec, problem: ConvProblem, weights: np.ndarray, form: Form, runs: Runs, tiling: Tiling
) -> tuple[Packing, ConvSpec]:
    """The weights' packing and the spec with its tile and window."""
    n = weights.shape[0]
    starts, window = None, 0
    if problem.groups > 1:
        starts, window = _windows(n, problem.groups, weights.shape[3], tiling.nr)
        runs = find_runs(draft.src, problem.kernel, problem.dilation, form.k_group, window)
    length = weights.shape[3] if problem.groups > 1 else runs.length
    packing = Packing(
        "panels", form.element, n, runs.count, length, runs.padded, tiling.nr, form.k_group, draft.parts,
        problem.groups, window, starts, channels=weights.shape[3],
    )  # fmt: skip
    spec = replace(draft, mr=tiling.mr, nr=tiling.nr, m_tiles=tiling.m_tiles, n_blocks=tiling.n_blocks, window=window)
    return packing, spec


def _windows(n: int, groups: int, per_group: int, nr: int) -> tuple[np.ndarray, int]:
    """First input channel each block of ``nr`` outputs reads, and how many any block needs."""
    outputs = n // groups
    first = np.arange(0, n, nr) // outputs * per_group
    last = (np.minimum(np.arange(nr, n + nr, nr), n) - 1) // outputs * per_group + per_group
    window = int((last - first).max())
    # the last window ends at the last channel, so that no block reads past the pixel
    return np.minimum(first, groups * per_group - window).astype(np.int32), window


def _proven(spec: ConvSpec, packing: Packing, problem: ConvProblem, weights: np.ndarray) -> Choice | None:
    """The choice with the depth its weights allow, or None."""
    offset = np.zeros(packing.n, np.int64)
    table = packing.window_start
    if spec.form == "f32":
        return Choice(spec, packing, table, bias_offset=offset)
    if packing.element == "bit":
        depth = 31 if spec.form == "bit_shuffle" else 1
        ones = (weights > 0).sum(axis=(1, 2, 3)).astype(np.int64) << spec.acc_shift
        return Choice(replace(spec, depth=depth), packing, None, True, ones)
    if spec.form in ("u8_vnni", "u8_portable") and not spec.wide:
        return Choice(spec, packing, table, bias_offset=offset)
    blocks = weight_blocks(weights.reshape(packing.n, -1), packing)
    run_steps = packing.run_pad // packing.k_group
    if spec.form == "u8_maddubs":
        depth = maddubs_depth(blocks, problem.act_max, run_steps)
        return None if depth is None else Choice(replace(spec, depth=depth), packing, table, bias_offset=offset)
    if spec.form == "u8_split":
        return None if spec.window else _split(spec, packing, blocks, problem.act_max, offset)
    return _wide(spec, packing, blocks, problem.act_max, run_steps, offset)


def _split(spec: ConvSpec, packing: Packing, blocks: np.ndarray, act_max: int, offset: np.ndarray) -> Choice:
    entries, starts = split_steps(blocks, act_max)
    run, k = np.divmod(entries // 4, packing.run_pad // packing.k_group)
    columns = packing.runs // spec.kernel[0]
    ky, kx = np.divmod(run, columns)
    at = ky * spec.dilation[0] * spec.src.wp * spec.src.stride + kx * spec.dilation[1] * spec.src.stride + k * packing.k_group
    packing = replace(packing, entries=entries, entry_starts=starts)
    fraction = len(entries) / blocks[..., 0, 0].size - 1
    table = np.concatenate([starts, at]).astype(np.int32)
    return Choice(replace(spec, entries=len(entries)), packing, table, bias_offset=offset, split=fraction)


def _wide(
    spec: ConvSpec, packing: Packing, blocks: np.ndarray, act_max: int, run_steps: int, offset: np.ndarray
) -> Choice | None:
    """16-bit forms: blocks of steps in int32, summed in float64 where the layer is wide."""
    if packing.parts == 2:
        high = (blocks + 128) >> 8
        depths = [int32_depth(part, act_max, run_steps) for part in (high, blocks - 256 * high)]
        depth = None if None in depths else min(depths, key=lambda d: d or 1 << 30)
    else:
        depth = int32_depth(blocks, act_max, run_steps)
        if depth is not None and 0 < depth < min(_SHORT, run_steps):
            depth = None  # two parts, each summed in long blocks, are faster than widening this often
    if depth is None or (depth and not spec.wide):
        return None
    return Choice(replace(spec, depth=depth), packing, packing.window_start, bias_offset=offset)


_SHORT = 8
