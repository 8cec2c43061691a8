"""Rows of the table of kernels for GPUs: the CUDA text, executed on this CPU, equals the reference."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from lowbit.backend.cuda.text import cuda_text
from lowbit.errors import UnsupportedOperation
from lowbit.kernels.case import Case
from lowbit.kernels.named import named
from lowbit.kernels.table import KERNELS
from lowbit.targets import TARGETS
from tests.kernels.gpu.harness import check_cases

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="CUDA text is run on a CPU by way of g++")

SM80 = TARGETS["cuda-sm80"]
ELSEWHERE = {"conv2d", "winograd", "pack_pairs"}  # tried form by form in test_convolutions.py; of CPUs alone
MOST = {"argmax": 5, "depthwise": 5, "layer_norm": 5, "matmul": 3, "pack_bits": 3, "response_norm": 4}  # with long texts


def sample(kind: str) -> list[Case]:
    """Some cases of a kind, from everywhere in its list."""
    cases = list(named(KERNELS[kind].cases)(SM80))
    wanted = MOST.get(kind, 9)
    return [cases[i] for i in sorted({int(at) for at in np.linspace(0, len(cases) - 1, wanted)})]


@pytest.mark.parametrize("kind", [kind for kind in KERNELS if kind not in ELSEWHERE])
def test_cases(kind: str) -> None:
    check_cases(sample(kind), SM80)


def test_plain_forms_of_convolutions() -> None:
    cases = [case for case in named(KERNELS["conv2d"].cases)(SM80) if case.spec.form.endswith(("_portable", "f32"))]
    assert {case.spec.form for case in cases} == {"u8_portable", "i16_portable", "bit_portable", "f32"}
    check_cases([case for case in cases if case.name.endswith(("/0", "/3", "/7", "/low"))], SM80)


def test_text_is_deterministic() -> None:
    case = sample("softmax")[0]
    assert cuda_text(case.spec, SM80).text == cuda_text(case.spec, SM80).text


def test_an_instruction_of_cpus_is_refused() -> None:
    spec = next(case.spec for case in named(KERNELS["matmul"].cases)(TARGETS["x86-64"]) if case.spec.form == "words")
    with pytest.raises(UnsupportedOperation, match=r"llvm\.x86\.sse2\.pmadd\.wd has no meaning on a GPU"):
        cuda_text(spec, SM80)
