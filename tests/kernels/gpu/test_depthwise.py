"""Depthwise convolutions of bytes on GPUs: every case equals the reference, whatever number of pixels a thread computes."""

from __future__ import annotations

import shutil

import pytest

from lowbit.backend.cuda.nvrtc import compile_cuda, nvidia_file
from lowbit.backend.cuda.text import PREAMBLE, cuda_text
from lowbit.kernels.depthwise_conv2d.cases import cases, spec_of
from lowbit.kernels.gpu import depthwise
from lowbit.reporting.gpu_code import resources_of
from lowbit.targets import TARGETS
from tests.kernels.gpu.harness import check_cases

TARGET = TARGETS["cuda-sm80"]
BYTES = [case for case in cases(TARGET) if case.spec.src.dtype == "u8" and case.spec.form == "i8"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")
@pytest.mark.parametrize("enough", [1, 1 << 30], ids=["four pixels", "one pixel"])
def test_cases(enough: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "_ENOUGH", enough)
    chosen = BYTES if enough == 1 else BYTES[::4]
    check_cases(chosen, TARGET, "-O0")


@pytest.mark.skipif(nvidia_file("lib/libnvrtc.so.*") is None, reason="NVRTC is in lowbit[cuda]")
@pytest.mark.parametrize("shape", ["3x3", "3x3s2", "5x5", "7x7"])
def test_registers(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "_ENOUGH", 1)
    for arch in (75, 80, 90):
        target = TARGETS[f"cuda-sm{arch}"]
        made = compile_cuda(PREAMBLE + cuda_text(spec_of(shape, "u8i8_add"), target).text, target.arch)
        found = resources_of(made.cubin)
        assert found.local_bytes == 0
        assert found.registers <= 128
