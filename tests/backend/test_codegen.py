from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from lowbit.backend.codegen import generate
from lowbit.errors import UnsupportedOperation, UnsupportedPrecision
from lowbit.kernels.conv2d.spec import ConvSpec
from lowbit.kernels.layout import Layout
from lowbit.kernels.spec import KernelSpec, spec_from_json
from lowbit.targets import TARGETS

SPEC = ConvSpec(
    op="conv2d",
    src=Layout(1, 6, 6, 32, 32),
    dst=Layout(1, 6, 6, 32, 32),
    residual=None,
    kernel=(1, 1),
    stride=(1, 1),
    dilation=(1, 1),
    padding=(0, 0),
    act="u8",
    weight="i7",
    form="u8_maddubs",
    k_group=4,
    depth=1,
    mr=4,
    nr=16,
    m_tiles=3,
    n_blocks=1,
)


def conv(form: str = "u8_maddubs", **more: object) -> ConvSpec:
    return replace(SPEC, form=form, **more)


def test_one_global_function_and_nothing_imported(tmp_path: Path) -> None:
    target = TARGETS["x86-64-v3"]
    made = generate(conv(), target)
    path = tmp_path / "kernel.o"
    path.write_bytes(made.object)
    symbols = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout.split("\n")
    kinds = {line.split()[-1]: line.split()[-2] for line in symbols if line}
    assert kinds[made.symbol] == "T"
    assert made.symbol == conv().symbol(target.name)
    assert [name for name, kind in kinds.items() if kind == "T"] == [made.symbol]
    assert "U" not in kinds.values(), "a kernel needs nothing from outside"


def test_texts_show_every_stage() -> None:
    made = generate(conv(), TARGETS["x86-64-v3"])
    assert "llvm.x86.avx2.pmadd.ub.sw" in made.tir
    assert f"@{made.symbol}(" in made.llvm
    assert "vpmaddubsw" in made.asm
    assert '"0x' not in made.llvm
    assert generate(conv(), TARGETS["x86-64-v3"]).llvm == made.llvm


def test_objects_are_deterministic_across_processes() -> None:
    code = (
        "import hashlib; from tests.backend.test_codegen import conv; from lowbit.backend.codegen import generate;"
        "from lowbit.targets import TARGETS; print(hashlib.sha256(generate(conv(), TARGETS['x86-64-v3']).object).hexdigest())"
    )
    digests = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(digests) == 1


def test_wide_vectors_stay_wide() -> None:
    """LLVM's preference for 256-bit vectors on these CPUs must not halve the registers."""
    asm = generate(conv("u8_vnni", nr=32, mr=6), TARGETS["x86-64-v4-vnni"]).asm
    dots = re.findall(r"vpdpbusd\s.*", asm)
    assert dots
    assert all("zmm" in dot for dot in dots)


def inner_loops(asm: str) -> list[str]:
    """Bodies of the loops without loops inside (a label up to a jump back to it)."""
    found = re.findall(r"^(\.LBB\w+):\n((?:(?!^\.LBB\w+:)[\s\S])*?\tj\w+\t\1\n)", asm, re.M)
    return [body for _, body in found]


@pytest.mark.parametrize(
    ("target", "form", "mr", "nr", "instruction"),
    [
        ("x86-64-v4-vnni", "u8_vnni", 14, 32, "vpdpbusd"),
        ("x86-64-v3", "u8_maddubs", 4, 16, "vpmaddubsw"),
        ("x86-64-v3", "f32", 6, 16, "vfmadd"),
        ("x86-64-v4", "f32", 14, 32, "vfmadd"),
    ],
)
def test_no_spills_in_the_inner_loop(target: str, form: str, mr: int, nr: int, instruction: str) -> None:
    kind, k = ("f32", 1) if form == "f32" else ("u8", 4)
    src = Layout(1, 28, 28, 256, 256, kind)
    dst = Layout(1, 28, 28, 64, 64, kind)
    spec = conv(form, src=src, dst=dst, k_group=k, mr=mr, nr=nr, act=kind, weight="f32" if kind == "f32" else "i7")
    loops = [body for body in inner_loops(generate(spec, TARGETS[target]).asm) if instruction in body]
    assert loops
    for body in loops:
        assert not re.search(r"mov\w*\s.*[xyz]mm.*\(%rsp|\(%rsp\).*[xyz]mm", body), body


def test_unknown_kind() -> None:
    @dataclass(frozen=True)
    class Strange(KernelSpec):
        kind: ClassVar[str] = "strange"

    with pytest.raises(UnsupportedOperation, match=r"'strange'; kinds with one: .*conv2d"):
        generate(Strange(), TARGETS["x86-64-v3"])


def test_unknown_form() -> None:
    with pytest.raises(UnsupportedPrecision, match=r"'u8_magic'; forms: .*u8_vnni"):
        generate(conv("u8_magic"), TARGETS["x86-64-v3"])


def test_start_is_of_forms_that_start_from_something() -> None:
    """One name, one meaning: what forms of signed bytes subtract is ``centre``, which JSON says only where there is one."""
    assert "centre" not in conv().to_json()
    signed = conv("u8_smull", k_group=8, centre=128)
    assert signed.to_json()["centre"] == 128
    assert spec_from_json(signed.to_json()) == signed
    with pytest.raises(ValueError, match="u8_smull starts its sums from 0, not from 128"):
        conv("u8_smull", start=128)
    assert conv("lut_shuffle", start=40).start == 40
