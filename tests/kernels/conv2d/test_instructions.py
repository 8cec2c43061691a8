"""The instruction that each form is made for is in the code for every target, also those that this CPU cannot run."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lowbit.backend.codegen import generate
from lowbit.kernels.conv2d.cases import Shape, operands
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.select import describe
from lowbit.kernels.conv2d.selection.winograd import winograd_choices
from lowbit.kernels.winograd.spec import WinogradSpec
from lowbit.targets import TARGETS, Target

SHAPE = Shape(64, 64, 8, 8, kernel=(3, 3), padding=(1, 1, 1, 1))
INSTRUCTIONS = {
    "bit_popcount": "vpopcntd",
    "bit_shuffle": "vpshufb",
    "bit_cnt": r"cnt\s.*16b",
    "lut_shuffle_bits": "vpshufb",
    "lut_permute": "vpermb",
    "lut_shuffle": "vpshufb",
    "lut_tbl": r"tbl\s.*16b",
    "u8_vnni_pairs": "vpdpbusd",
    "u8_vnni": "vpdpbusd",
    "u8_sdot": r"sdot\s.*4s",
    "u8_smull_pairs": r"sm(?:ull|lal)2?\s.*8h",
    "u8_smull": r"sm(?:ull|lal)2?\s.*8h",
    "u8_maddubs": "vpmaddubsw",
    "u8_split": "vpmaddubsw",
    "i16_maddwd_pairs": "vpmaddwd|vpdpwssd",  # which LLVM makes of it and an addition
    "i16_smlal": r"sm(?:ull|lal)2?\s.*4s",
    "i16_vnni_pairs": "vpdpwssd",
    "i16_vnni": "vpdpwssd",
    "i16_maddwd": "v?pmaddwd",
    "f32": "vfmadd|mulps|fmla",
    "i16_amx": r"tdpb[us][us]d\s.*tmm",
    "u8_amx": r"tdpbusd\s.*tmm",
    "bf16x3_amx": r"tdpbf16ps\s.*tmm",
    "u8_amx_i4": r"tdpbusd\s.*tmm",
    "u8_amx_i2": r"tdpbusd\s.*tmm",
    "u8_amx_gathered": r"tdpbusd\s.*tmm",
}
PORTABLE = {"bit_portable", "u8_portable", "i16_portable"}  # whatever LLVM makes of them
GPUS = {form.name for form in FORMS.values() if "cuda" in form.features.split()}  # tests/kernels/gpu/test_machine_code.py
TILES = {form for form in INSTRUCTIONS if "_amx" in form}
REGISTER = {16: "xmm", 32: "ymm", 64: "zmm"}
CASES = [
    (target, form)
    for target in TARGETS.values()
    for form in INSTRUCTIONS
    if FORMS[form].available(target) and not target.emulated and target.machine != "cuda"
]


def assembly(form: str, target: Target) -> str:
    """Of a 3x3 convolution in this form, with weights of two values."""
    w = np.random.default_rng(0).choice([-1, 1], SHAPE.weight_shape)
    problem = operands(FORMS[form]).problem(SHAPE)
    if form == "i16_vnni_pairs":  # only in Winograd kernels
        chosen = [c for c in winograd_choices(SHAPE.problem("u8", "i8", 255), w, target) if c.spec.form == form]
        assert all(isinstance(choice.spec, WinogradSpec) for choice in chosen)
        return generate(chosen[0].spec, target).asm
    if form.endswith("_pairs"):
        problem = SHAPE.problem("u4", "i4", 15)
    if problem.act == "f32":
        w = w.astype(np.float32)
    depth = None if FORMS[form].element == "index" else 2 if form == "u8_smull" else 1
    return generate(describe(FORMS[form], problem, w, (1, 64), (1, 1), depth, operands(FORMS[form]).parts).spec, target).asm


def test_every_form_is_here() -> None:
    assert INSTRUCTIONS.keys() | PORTABLE | GPUS == FORMS.keys()
    assert {form for _, form in CASES} == INSTRUCTIONS.keys()


@pytest.mark.parametrize(("target", "form"), CASES, ids=lambda v: getattr(v, "name", v))
def test_instruction(target: Target, form: str) -> None:
    asm = assembly(form, target)
    lines = re.findall(rf"^\s+(?:\{{\w+\}}\s+)?(?:{INSTRUCTIONS[form]})\w*\b.*$", asm, re.M)
    assert lines
    if target.machine != "x86_64":
        return
    assert form in TILES or any(REGISTER[target.vector_bytes] in line for line in lines)
    for wider, register in REGISTER.items():
        assert wider <= target.vector_bytes or f"%{register}" not in asm


@pytest.mark.parametrize("form", ["u8_vnni", "i16_vnni"])
def test_avx_vnni_is_not_avx512(form: str) -> None:
    """The encoding that CPUs without AVX-512 know, in the sixteen registers that they have."""
    asm = assembly(form, TARGETS["x86-64-v3-vnni"])
    lines = re.findall(r"^.*\bvpdp(?:bus|wss)d\s.*$", asm, re.M)
    assert lines
    assert all("{vex}" in line for line in lines)
    assert not re.search(r"%[xy]mm(1[6-9]|[23]\d)|%k[0-7]", asm)
