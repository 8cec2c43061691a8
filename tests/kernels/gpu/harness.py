"""Cases of kernels for GPUs: their CUDA text, executed on this CPU, beside their references."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lowbit.backend.cuda.text import CudaText, cuda_text
from lowbit.emulate.cuda.emulation import Emulation, emulation_of
from lowbit.kernels.abi import ARGUMENTS
from lowbit.kernels.case import Case, inner, physical
from lowbit.kernels.gpu.halves import as_float32, halves_of
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.targets import Target

__all__ = ["check_cases", "wrong_of"]

_SPARE = 64  # readable bytes behind every buffer (kernels/layout.py)


def wrong_of(case: Case, text: CudaText, emulation: Emulation, seed: int = 1) -> str:
    """What is wrong with the case, "" nothing."""
    memory = {name: _spared(array) for name, array in case.memory.items()}
    units = case.units or case.spec.units
    grid = text.launch.blocks(units)
    arguments: list[np.ndarray | int | None] = [memory.get(name) for name in ARGUMENTS]
    if text.launch.per_unit:
        arguments.append(units)
    if text.launch.scratch_bytes:
        arguments.append(np.full(grid[0] * text.launch.threads * text.launch.scratch_bytes, 0x5C, np.uint8))
    after = emulation.run(text.symbol, grid, text.launch.threads, arguments, seed)
    whole = after[ARGUMENTS.index("o")]
    assert isinstance(whole, np.ndarray)
    out = whole.view(case.memory["o"].dtype)[: case.memory["o"].size]
    want = np.asarray(named(KERNELS[case.spec.kind].reference)(reference_spec(case.spec), **case.values))
    got = out.reshape(case.memory["o"].shape) if case.dst is None else inner(out, case.dst)[..., : want.shape[-1]]
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= case.bound
    wrong = ~(near | (got == want) | (np.isnan(got) & np.isnan(want)))
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0])
        return f"{wrong.sum()} of {wrong.size} differ, first at {at}: {got[at]}, not {want[at]}"
    if case.dst is not None:
        before = physical(case.memory["o"], case.dst).copy()
        inner(before, case.dst)[...] = inner(out, case.dst)
        if not np.array_equal(physical(out, case.dst), before, equal_nan=out.dtype.kind == "f"):
            return "it wrote beside its pixels"
    return ""


def reference_spec(spec: KernelSpec) -> KernelSpec:
    """What references know: of kernels that read and store halves the same of float32."""
    return as_float32(spec) if halves_of(spec) and spec.kind != "conv2d" else spec


def _spared(array: np.ndarray) -> np.ndarray:
    """The bytes, and some behind them that a kernel may read: NaN, where they are taken for floats."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return np.concatenate([data, np.full(_SPARE, 0xFF, np.uint8)])


def check_cases(cases: Sequence[Case], target: Target, *flags: str) -> None:
    """All of them, compiled together.  Fails with the name of every one that is wrong."""
    texts = {case.spec: cuda_text(case.spec, target) for case in cases}
    with tempfile.TemporaryDirectory(prefix="lowbit-gpu-") as folder:
        emulation = emulation_of({text.symbol: text.text for text in texts.values()}, Path(folder), *flags)
        found = {case.name: wrong_of(case, texts[case.spec], emulation) for case in cases}
    wrong = {name: what for name, what in found.items() if what}
    assert not wrong, f"{len(wrong)} of {len(found)} cases of {cases[0].spec.kind} on {target.name}: {wrong}"
