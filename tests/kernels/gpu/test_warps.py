"""Rows that a warp reduces: every case of integers equals its reference, and planted faults are found."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from lowbit.backend.cuda.text import CudaText, cuda_text
from lowbit.emulate.cuda.emulation import emulation_of
from lowbit.errors import LowbitError
from lowbit.kernels.case import Case
from lowbit.kernels.gpu.launch import launch_of
from lowbit.kernels.gpu.table import gpu_function
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS
from tests.kernels.gpu.harness import check_cases, wrong_of

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")
SM80 = TARGETS["cuda-sm80"]
KINDS = ("layer_norm", "softmax")


def cases_of(kind: str) -> list[Case]:
    return [case for case in named(KERNELS[kind].cases)(SM80) if case.spec.src.dtype != "f32"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str) -> None:
    check_cases(cases_of(kind), SM80, "-O0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_warp_has_a_pixel(kind: str) -> None:
    for case in cases_of(kind)[::8]:
        launch = launch_of(gpu_function(case.spec, SM80))
        pixels = case.spec.dst.pixels  # type: ignore[attr-defined]
        assert pixels <= launch.count // 32 < pixels + 4


FAULTS = {
    "a lane asks itself": (", 16);", ", 0);"),
    "half a warp": (", 16);", ", 8);"),
    "a lane less": ("& 31)", "& 30)"),
    "one lane stays away": ("__shfl_xor_sync(", ""),  # before the first exchange
}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_found(kind: str) -> None:
    case = max(cases_of(kind), key=lambda case: case.spec.src.c)  # type: ignore[attr-defined]
    text = cuda_text(case.spec, SM80)
    for name, (old, new) in FAULTS.items():
        if new:
            assert old in text.text, name
            changed = text.text.replace(old, new)
        else:
            at = text.text.rindex("\n", 0, text.text.index(old)) + 1
            changed = f"{text.text[:at]}if (v == 7) return;\n{text.text[at:]}"
        broken = CudaText(text.symbol, text.launch, changed, "")
        with tempfile.TemporaryDirectory() as folder:
            emulation = emulation_of({text.symbol: changed}, Path(folder), "-O0")
            try:
                found = bool(wrong_of(case, broken, emulation))
            except LowbitError as error:
                found = "deadlock" in str(error) or "lanes of a warp" in str(error)
        assert found, name
