"""float16: kernels of every kind that has floats equal their float32 references on rounded operands, up to the rounding of
results."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.backend.cuda.nvrtc import compile_cuda, nvidia_file
from lowbit.backend.cuda.text import PREAMBLE, cuda_text
from lowbit.emulate.cuda.emulation import emulation_of
from lowbit.kernels.case import Case
from lowbit.kernels.gpu.function import gpu_kernel, threads_of
from lowbit.kernels.gpu.halves import as_float32, halves_of, loaded, stored
from lowbit.kernels.layout import Layout
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS
from tests.kernels.gpu.harness import check_cases

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")
SM80 = TARGETS["cuda-sm80"]
KINDS = (
    "argmax", "binary", "depthwise", "layer_norm", "matmul", "matmul_pack", "moments", "normalize", "pool", "resize",
    "response_norm", "softmax", "unary",
)  # fmt: skip
_FIELDS = ("src", "dst", "residual", "other", "act", "weight", "form")
_KEPT = {"matmul": ("form",), "matmul_pack": ("form", "dst"), "moments": ("dst",), "argmax": ("dst",)}
_UNIT = 2.0**-11  # of a rounding, relative; 2^-25 where numbers are subnormal
_ROUNDINGS = {"softmax": 3}  # exponentials and their shares; the others 1


def halved(case: Case) -> Case | None:
    """The case with float16 where kernels of float16 networks have it; None for one of integers."""

    def half(name: str, value: Any) -> Any:
        if name not in _FIELDS or name in _KEPT.get(case.spec.kind, ()):
            return value
        if isinstance(value, Layout):
            return replace(value, dtype="f16") if value.dtype == "f32" else value
        return "f16" if value == "f32" else value

    given = {f.name: getattr(case.spec, f.name) for f in fields(case.spec)}
    source = given["src"]
    if source.dtype != "f32":
        return None
    spec = replace(case.spec, **{name: half(name, value) for name, value in given.items()})
    pointers = halves_of(spec)
    memory = {name: _rounded(array) if name in pointers else array for name, array in case.memory.items()}
    values = {
        name: _rounded(array).astype(np.float32) if name in pointers and array is not None else array
        for name, array in case.values.items()
    }
    want = np.asarray(named(KERNELS[spec.kind].reference)(as_float32(spec), **values), np.float64)
    rounded = (np.abs(want) + case.bound) * _UNIT + 2.0**-25
    bound = _ROUNDINGS.get(spec.kind, 1) * rounded if "o" in pointers else 0.0
    return replace(case, spec=spec, memory=memory, values=values, bound=1.01 * (case.bound + bound))


def _rounded(array: np.ndarray) -> np.ndarray:
    """As float16; what is too large, the junk behind channels, as large numbers."""
    return np.clip(array.view(np.float32) if array.dtype == np.uint8 else array, -60000, 60000).astype(np.float16)


def cases_of(kind: str) -> list[Case]:
    found = [made for case in named(KERNELS[kind].cases)(SM80) if (made := halved(case)) is not None]
    return [found[i] for i in sorted({int(at) for at in np.linspace(0, len(found) - 1, 6)})]


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str) -> None:
    cases = cases_of(kind)
    assert all(halves_of(case.spec) for case in cases)
    check_cases(cases, SM80, "-O0")


@pytest.mark.skipif(nvidia_file("lib/libnvrtc.so.*") is None, reason="NVRTC is in lowbit[cuda]")
@pytest.mark.parametrize("kind", ["pool", "depthwise", "softmax"])
def test_nvrtc_converts(kind: str) -> None:
    """One instruction each way."""
    for arch in (75, 80, 90):
        target = TARGETS[f"cuda-sm{arch}"]
        ptx = compile_cuda(PREAMBLE + cuda_text(cases_of(kind)[0].spec, target).text, target.arch).ptx.decode()
        assert "cvt.f32.f16" in ptx
        assert "cvt.rn.f16.f32" in ptx


def test_conversions() -> None:
    """All float16 come through; what lies between two becomes the nearer one, half to even; overflow, subnormals, NaN."""
    from tvm.tirx.script import builder as TB

    with gpu_kernel("widened", threads_of(65536), x=("uint16", 65536), o=("float32", 65536)) as k, k.one_of(65536) as i:
        TB.buffer_store(k.o, loaded(k.x[i]), [i])
    widened = k.func
    with gpu_kernel("narrowed", threads_of(65536), x=("float32", 65536), o=("uint16", 65536)) as k, k.one_of(65536) as i:
        TB.buffer_store(k.o, stored(k.x[i]), [i])
    from lowbit.backend.cuda.text import text_of

    texts = {name: text_of(func, name, SM80) for name, func in (("widened", widened), ("narrowed", k.func))}
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 1 << 32, 65536, dtype=np.uint32).view(np.float32)
    wide[:4096] = (rng.standard_normal(4096) * 2.0 ** rng.integers(-30, 17, 4096)).astype(np.float32)
    middles = (every[:31743].astype(np.float32) + every[1:31744].astype(np.float32)) / 2
    wide[4096 : 4096 + len(middles)] = middles
    wide[-3:] = 65519.996, 65520, -65520
    with tempfile.TemporaryDirectory() as folder, np.errstate(over="ignore", invalid="ignore"):
        emulation = emulation_of(texts, Path(folder))
        for name, x, want in (("widened", every, every.astype(np.float32)), ("narrowed", wide, wide.astype(np.float16))):
            out = np.zeros(65536, want.dtype)
            arguments = [x.view(np.uint16) if name == "widened" else x, *[None] * 5, out]
            got = emulation.run(name, (512, 1, 1), 128, arguments)[6]
            assert isinstance(got, np.ndarray)
            assert np.array_equal(got.view(want.dtype), want, equal_nan=True)
