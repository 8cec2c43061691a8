"""Run generated kernels from numpy: compile, link with the C compiler, call through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.backend.cache import compile_kernels
from lowbit.backend.codegen import compile_function
from lowbit.backend.runtime_object import emulation_object
from lowbit.backend.toolchain import find_compiler
from lowbit.kernels.abi import ARGUMENTS
from lowbit.kernels.case import Case, inner, physical
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS, Target
from lowbit.targets.host import host_machine, obstacle
from tests.kernels.emulated import call_emulated, missing_tools

__all__ = ["aligned", "check_case", "load_function", "load_kernels", "run_kernel", "runnable_targets"]

_FOLDER = tempfile.TemporaryDirectory(prefix="lowbit-kernels-")
GUARD = 64  # readable bytes every buffer is followed by (Layout's promise)


# What CPUs with AVX-VNNI compute in vectors of 32 bytes, in instructions of CPUs that have AVX-512 VNNI
_SHORT_VNNI = replace(
    TARGETS["x86-64-v3-vnni"],
    name="x86-64-v3-vnni-evex",
    features=TARGETS["x86-64-v3"].features | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"},
)


def runnable_targets() -> list[Target]:
    """The targets whose code this CPU executes: of the table, and a stand-in for one of it."""
    targets = (*TARGETS.values(), _SHORT_VNNI)
    return [t for t in targets if not obstacle(t)]


def aligned(array: np.ndarray, fill: int = 0xA5) -> np.ndarray:
    """A 64-byte aligned copy, followed (and preceded) by 64 bytes of ``fill``."""
    array = np.ascontiguousarray(array)
    raw = np.full(array.nbytes + 3 * GUARD, fill, np.uint8)
    start = -raw.ctypes.data % GUARD + GUARD
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


@cache
def _library(objects: tuple[bytes, ...], target: Target) -> ctypes.CDLL:
    """Kernels, and what stands for instructions that are emulated."""
    if target.emulated:
        objects = (*objects, emulation_object(find_compiler(target), target))
    folder = Path(_FOLDER.name)
    paths = []
    for content in objects:
        path = folder / f"{hashlib.sha256(content).hexdigest()[:24]}.o"
        path.write_bytes(content)
        paths.append(str(path))
    library = folder / f"{hashlib.sha256(b''.join(objects)).hexdigest()[:24]}.so"
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", str(library), *paths], check=True, capture_output=True)
    return ctypes.CDLL(str(library))


def load_kernels(specs: list[KernelSpec], target: Target) -> list[ctypes._CFuncPtr]:
    """C functions of the specs, linked into one library."""
    objects = compile_kernels(specs, target)
    library = _library(tuple(objects.values()), target)
    functions = []
    for spec in specs:
        function = getattr(library, spec.symbol(target.name))
        function.restype = None
        asked = [ctypes.c_void_p] if spec.scratch_bytes else []
        function.argtypes = [*[ctypes.c_void_p] * len(ARGUMENTS), *[ctypes.c_int32] * 2, *asked]
        functions.append(function)
    return functions


def load_function(function: Any, symbol: str, target: Target) -> ctypes._CFuncPtr:
    """The C function of a PrimFunc that no spec stands for."""
    loaded = getattr(_library((compile_function(function, symbol, target).object,), target), symbol)
    loaded.restype, loaded.argtypes = None, [*[ctypes.c_void_p] * len(ARGUMENTS), *[ctypes.c_int32] * 2]
    return loaded


def _around(spec: KernelSpec, target: Target, which: str) -> ctypes._CFuncPtr:
    """What begins, or ends, a thread's share of a bracketed kernel's units."""
    function = getattr(_library(tuple(compile_kernels([spec], target).values()), target), f"{spec.symbol(target.name)}__{which}")
    function.restype, function.argtypes = None, [ctypes.c_void_p]
    return function


def run_kernel(spec: KernelSpec, target: Target, lo: int = 0, hi: int | None = None, **arrays: np.ndarray | None) -> None:
    """Call the kernel on ``arrays`` (keys x, r, w, b, s, t, o; missing = NULL) and, where it asks for that, scratch memory that
    holds anything, between its begin and its end; writes ``o`` in place.

    Arrays must be contiguous and, where the kernel reads past their end, made by :func:`aligned`.
    """
    if target.machine != host_machine():
        if reason := missing_tools():
            pytest.skip(reason)
        call_emulated(spec, target, lo, spec.units if hi is None else hi, arrays)
        return
    (function,) = load_kernels([spec], target)
    memory = aligned(np.random.default_rng(0).integers(0, 256, spec.scratch_bytes, np.uint8)) if spec.scratch_bytes else None
    own = [] if memory is None else [memory.ctypes.data]
    pointers = []
    for name in ARGUMENTS:
        array = arrays.get(name)
        if array is not None and not array.flags.c_contiguous:
            raise ValueError(f"{name} is not contiguous")
        pointers.append(None if array is None else array.ctypes.data)
    around = [_around(spec, target, which) for which in ("begin", "end")] if spec.bracketed else []
    for begin in around[:1]:
        begin(*(own or [None]))
    function(*pointers, lo, spec.units if hi is None else hi, *own)
    for end in around[1:]:
        end(*(own or [None]))
    if memory is not None:
        behind = np.lib.stride_tricks.as_strided(memory[-1:], (GUARD + 1,), (1,))[1:]
        assert (behind == 0xA5).all(), f"{spec.symbol(target.name)} wrote behind its scratch memory"


def check_case(case: Case, target: Target) -> np.ndarray:
    """Run the kernel in pieces of its units, the last one first, and compare it with its reference; returns the result.

    Fails where they differ, where nothing was written, and where the kernel wrote beside its result."""
    where = f"{case.spec.kind} {case.name} on {target.name}"
    memory = {name: aligned(array) for name, array in case.memory.items()}
    out, units = memory["o"], case.units or case.spec.units
    cuts = sorted({0, units // 3, units // 2, units})
    for lo, hi in reversed(list(itertools.pairwise(cuts))):
        run_kernel(case.spec, target, lo, hi, **memory)
    want = np.asarray(named(KERNELS[case.spec.kind].reference)(case.spec, **case.values))
    got = out if case.dst is None else inner(out, case.dst)[..., : want.shape[-1]]
    assert got.shape == want.shape, where
    assert want.size > 0, where
    with np.errstate(invalid="ignore"):  # infinities, which are equal or not
        near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= case.bound
    wrong = ~(near | (got == want) | (np.isnan(got) & np.isnan(want)))
    assert not wrong.any(), f"{where}: {wrong.sum()} of {wrong.size} differ, first at {np.argwhere(wrong)[0]}"
    if case.dst is not None:
        before = physical(case.memory["o"], case.dst).copy()
        inner(before, case.dst)[...] = inner(out, case.dst)
        np.testing.assert_array_equal(physical(out, case.dst), before, f"{where}: it wrote beside its pixels")
    beside = np.lib.stride_tricks.as_strided(out.reshape(-1)[-1:].view(np.uint8)[-1:], (GUARD + 1,), (1,))[1:]
    assert (beside == 0xA5).all(), f"{where}: it wrote behind the buffer"
    return got
