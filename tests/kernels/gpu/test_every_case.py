"""Cases of every row, and of every form of convolutions, through NVRTC for every architecture that has it: registers are not
spilled, threads of a block fit a multiprocessor, and the machine code multiplies as it is said to.  `make test-all` takes every
case, some 4,400 kernels.

A register is spilled where an innermost loop stores or loads it.  What waits in local memory from before such a loop until after
it, a number or two of a few kernels, costs an instruction each time; ptxas trades it for more threads."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from lowbit.backend.cuda.nvrtc import compile_cuda, compile_kernel, nvidia_file
from lowbit.backend.cuda.text import PREAMBLE, CudaText, cuda_text
from lowbit.backend.elf import section_of
from lowbit.emulate.cuda.host_text import merged
from lowbit.kernels.conv2d.cases import cases as conv_cases
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.forms.float32 import FLOAT32
from lowbit.kernels.conv2d.forms.form import Form
from lowbit.kernels.conv2d.forms.tensor_core import TensorForm
from lowbit.kernels.named import named
from lowbit.kernels.spec import KernelSpec
from lowbit.kernels.table import KERNELS
from lowbit.reporting.gpu_code import sass_of
from lowbit.targets import TARGETS, Target
from tests.share import share

pytestmark = pytest.mark.skipif(
    nvidia_file("lib/libnvrtc.so.*") is None or nvidia_file("bin/nvdisasm") is None,
    reason="NVRTC and nvdisasm are in lowbit[cuda]",
)
GPUS = [target for target in TARGETS.values() if target.arch]
NONE_ON_GPUS = {"winograd", "pack_pairs"}  # rows without a case there
KINDS = [kind for kind in KERNELS if kind not in ("conv2d", *NONE_ON_GPUS)]
GPU_FORMS = [form for form in FORMS.values() if any(form.available(target) for target in GPUS)]

_EVERY = 24
_TOGETHER = 64  # kernels of a program
_REGISTERS = 65536  # of a multiprocessor, of every one since Kepler
_WAITING = 32  # bytes that may wait beside loops
_USED = re.compile(
    r"Function properties for (\w+)\s+ptxas\s+\.\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s+"
    r"ptxas info\s+: Used (\d+) registers"
)
# An instruction is 16 bytes, of which the lowest nine bits say what it does, whatever its operands are; test_opcodes asks
# nvdisasm, which would take a minute for all kernels.
_OPCODES = {0x023: "FFMA", 0x02B: "DFMA", 0x026: "IDP", 0x037: "IMMA", 0x03C: "HMMA", 0x03D: "BMMA", 0x14D: "EXIT"}
# what an instruction may be made of: divisions and roots take it several times
_FUSED = {
    "FFMA": ("__fmaf_rn", "__fdiv_rn", "__fsqrt_rn", "__ddiv_rn", "__dsqrt_rn"),
    "DFMA": ("__fma_rn", "__ddiv_rn", "__dsqrt_rn"),
}
_LISTED = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z]\w*)[^/]*;?\s*/\* 0x([0-9a-f]{16}) \*/", re.M)


def specs_of(kind: str, target: Target) -> list[KernelSpec]:
    return list(dict.fromkeys(case.spec for case in named(KERNELS[kind].cases)(target)))


def texts_of(wanted: dict[str, list[KernelSpec]], shared: bool = True) -> dict[str, dict[KernelSpec, CudaText]]:
    """Target -> spec -> text.  ``shared``: a text is printed once, because it is the same for all targets but for the name of the
    kernel, which the first and the last one of each target show."""
    printed: dict[KernelSpec, tuple[str, CudaText]] = {}
    found: dict[str, dict[KernelSpec, CudaText]] = {}
    for name, specs in wanted.items():
        for spec in specs:
            if spec not in printed or not shared:
                printed[spec] = spec.symbol(name), cuda_text(spec, TARGETS[name])
        found[name] = {spec: _renamed(*printed[spec], spec.symbol(name)) for spec in specs}
        for spec in {specs[0], specs[-1]} if specs else ():
            assert found[name][spec].text == cuda_text(spec, TARGETS[name]).text
    return found


def _renamed(old: str, text: CudaText, new: str) -> CudaText:
    return CudaText(new, text.launch, text.text.replace(old, new), "")


def _batches(texts: Sequence[CudaText]) -> Iterator[Sequence[CudaText]]:
    for start in range(0, len(texts), _TOGETHER):
        yield texts[start : start + _TOGETHER]


def instructions(cubin: bytes, symbol: str) -> set[str]:
    """Those of ``_OPCODES`` that a kernel has."""
    words = np.frombuffer(section_of(cubin, f".text.{symbol}"), "<u8")[::2]
    return {_OPCODES[int(code)] for code in np.unique(words & 0x1FF) if int(code) in _OPCODES}


def code_of(cubin: bytes, symbol: str) -> list[str]:
    """Lines of nvdisasm."""
    pieces = re.split(r"^\.text\.(\w+):$", sass_of(cubin), flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))[symbol].splitlines()


def spills_in_loops(lines: Sequence[str]) -> bool:
    """Whether an innermost loop, from a label to a jump back to it, touches local memory."""
    labels = {found[1]: i for i, line in enumerate(lines) if (found := re.match(r"\s*(\.L_x_\d+):", line))}
    jumps = [(i, found[1]) for i, line in enumerate(lines) if (found := re.search(r"\bBRA\b.*?`\((\.L_x_\d+)\)", line))]
    loops = [(labels[label], i) for i, label in jumps if labels.get(label, i) < i]
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    return any(re.search(r"\b(LDL|STL)\b", line) for a, b in inner for line in lines[a:b])


def check(texts: Sequence[CudaText], target: Target, multiplies: str = "", plain: bool = False) -> None:
    """``multiplies``: the name of an instruction that each kernel has.  ``plain``: of a form that takes what no form for GPUs
    does, whose loops over numbers of 64 bits may keep one in memory."""
    wrong: dict[str, str] = {}
    for some in _batches(texts):
        made = compile_cuda(PREAMBLE + merged(text.text for text in some), target.arch, ["--ptxas-options=-v"])
        used = {name: tuple(map(int, rest)) for name, *rest in _USED.findall(made.log)}
        for text in some:
            assert text.symbol in used, f"ptxas says nothing about {text.symbol}"
            _, stores, loads, registers = used[text.symbol]
            cubin = made.cubin
            if stores or loads:  # as it is compiled for a network, alone
                alone = compile_kernel(PREAMBLE + text.text, target.arch)
                cubin, (_, stores, loads, registers) = alone.cubin, map(int, _USED.findall(alone.log)[0][1:])
            names = instructions(cubin, text.symbol)
            assert "EXIT" in names
            if (
                stores > _WAITING
                or loads > 2 * _WAITING
                or ((stores or loads) and not plain and spills_in_loops(code_of(cubin, text.symbol)))
            ):
                wrong[text.symbol] = f"{stores} bytes spilled, {loads} read back"
            if registers > 255 or -(-registers // 8) * 8 * text.launch.threads > _REGISTERS:
                wrong[text.symbol] = f"{registers} registers of {text.launch.threads} threads"
            for fused, reasons in _FUSED.items():
                if fused in names and not any(reason in text.text for reason in reasons):
                    wrong[text.symbol] = f"{fused} in a kernel that fuses nothing"
            if multiplies and multiplies not in names:
                wrong[text.symbol] = f"no {multiplies}, only {sorted(names)}"
    assert not wrong, f"{target.name}: {wrong}"


@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind: str) -> None:
    texts = texts_of({target.name: share(specs_of(kind, target), _EVERY) for target in GPUS})
    for target in GPUS:
        assert texts[target.name]
        check(list(texts[target.name].values()), target)


@pytest.mark.parametrize("form", GPU_FORMS, ids=lambda form: form.name)
def test_convolutions(form: Form) -> None:
    """Integers without a fused multiply-add; tensor cores and dp4a where a form is named after them."""
    tensor = ("BMMA" if form.atom.bits == 1 else "HMMA" if form.atom.floats else "IMMA") if isinstance(form, TensorForm) else ""
    name = tensor or ("IDP" if form.words.instruction == "dp4a" else "")
    having = [target for target in GPUS if form.available(target)]
    cases = {t.name: [case.spec for case in conv_cases(t) if case.spec.form == form.name] for t in having}
    shared = form.builder != FLOAT32.builder  # in which order that one loops depends on the size of a cache
    texts = texts_of({name: share(list(dict.fromkeys(specs)), _EVERY) for name, specs in cases.items()}, shared)
    for target in having:
        assert texts[target.name]
        check(list(texts[target.name].values()), target, name, not shared)


def test_nothing_is_left_out() -> None:
    assert set(KINDS) | NONE_ON_GPUS | {"conv2d"} == set(KERNELS)
    for kind in NONE_ON_GPUS:
        assert not any(specs_of(kind, target) for target in GPUS)
    for target in GPUS:
        used = {case.spec.form for case in conv_cases(target)}
        assert used == {form.name for form in GPU_FORMS if form.available(target)}


def test_opcodes(tmp_path: Path) -> None:
    """As nvdisasm reads them, on every architecture, of kernels that have all of them between them."""
    seen = set()
    for target in GPUS:
        forms = [
            form
            for form in GPU_FORMS
            if form.available(target) and (isinstance(form, TensorForm) or form.words.instruction == "dp4a")
        ]
        specs = [next(case.spec for case in conv_cases(target) if case.spec.form == form.name) for form in forms]
        specs += [specs_of(kind, target)[0] for kind in ("softmax", "layer_norm", "response_norm")]
        specs += [next(case.spec for case in conv_cases(target) if case.spec.form == "f32_threads")]
        texts = list(texts_of({target.name: specs})[target.name].values())
        path = tmp_path / f"{target.arch}.cubin"
        path.write_bytes(compile_cuda(PREAMBLE + merged(text.text for text in texts), target.arch).cubin)
        tool = nvidia_file("bin/nvdisasm")
        listed = subprocess.run([str(tool), "-c", "-hex", str(path)], capture_output=True, text=True, check=True).stdout
        found = [(name, int(word, 16) & 0x1FF) for name, word in _LISTED.findall(listed)]
        assert len(found) > 1000
        for name, code in found:
            assert _OPCODES.get(code, "another") == (name if name in _OPCODES.values() else "another"), (
                target.name,
                name,
                hex(code),
            )
            seen.add(name)
    assert seen >= set(_OPCODES.values())


def test_kernels_that_would_spill_are_compiled_again() -> None:
    """One whose K loop keeps registers in memory when ptxas is asked once."""
    target, form = TARGETS["cuda-sm80"], FORMS["w4_mma8816"]
    texts = [cuda_text(spec, target) for spec in dict.fromkeys(c.spec for c in conv_cases(target) if c.spec.form == form.name)]
    log = compile_cuda(PREAMBLE + merged(text.text for text in texts), target.arch, ["--ptxas-options=-v"]).log
    spilled = {name for name, _, stores, _, _ in _USED.findall(log) if int(stores)}
    if not spilled:
        pytest.skip("this NVRTC spills in none of them")
    for text in (text for text in texts if text.symbol in spilled):
        once = compile_cuda(PREAMBLE + text.text, target.arch, ["--ptxas-options=-v"])
        again = compile_kernel(PREAMBLE + text.text, target.arch)
        assert int(_USED.findall(again.log)[0][2]) < int(_USED.findall(once.log)[0][2])
        assert again.cubin == compile_kernel(PREAMBLE + text.text, target.arch).cubin


def test_loops_that_spill_are_seen() -> None:
    inside = [".L_x_0:", "STL [R1], R2", ".L_x_1:", "LDL R2, [R1]", "@P0 BRA `(.L_x_1)", "@P1 BRA `(.L_x_0)"]
    beside = [".L_x_0:", "STL [R1], R2", ".L_x_1:", "IADD R3", "@P0 BRA `(.L_x_1)", "LDL R2, [R1]", "@P1 BRA `(.L_x_0)"]
    assert spills_in_loops(inside)
    assert not spills_in_loops(beside)
    assert not spills_in_loops(["STL [R1], R2", "EXIT", ".L_x_2:", "BRA `(.L_x_2)"])
