"""The kernels of a network for GPUs as they lie in its library: CUDA C, PTX, and machine code read back by nvdisasm."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.backend.cuda.library import CudaPart, cuda_parts
from lowbit.backend.cuda.nvrtc import nvidia_file
from lowbit.backend.elf import section_of
from lowbit.errors import ArtifactError, ToolMissing
from lowbit.files import scratch_folder
from lowbit.reporting.machine_code import Function
from lowbit.reporting.sass_instructions import SassInstruction

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["Resources", "gpu_functions", "gpu_stage", "has_nvdisasm", "resources_of", "sass_of"]

_LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)\s*([^;]*);", re.M)
_LABEL = re.compile(r"^\s*(\.L_x_\d+):")


def has_nvdisasm() -> bool:
    """Whether the wheel with nvdisasm is installed."""
    return nvidia_file("bin/nvdisasm") is not None


def sass_of(cubin: bytes) -> str:
    """Machine code as text.  Raises ToolMissing without nvdisasm, ArtifactError where it cannot read the file."""
    tool = nvidia_file("bin/nvdisasm")
    if tool is None:
        raise ToolMissing("nvdisasm reads the machine code of GPUs and is not installed: pip install 'lowbit[cuda]'")
    with scratch_folder() as folder:
        path = folder / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([str(tool), "-c", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise ArtifactError(f"nvdisasm cannot read a kernel: {done.stderr.strip()}")
    return done.stdout


def gpu_stage(compiled: Compiled, stage: str) -> Callable[[str], str]:
    """Symbol -> its text of ``stage``: cuda, ptx or sass."""
    parts = cuda_parts(compiled.section("library.so"))

    def text(symbol: str) -> str:
        if symbol not in parts:
            raise ArtifactError(f"the library has no kernel {symbol}")
        part: CudaPart = parts[symbol]
        return part.text if stage == "cuda" else part.ptx.decode() if stage == "ptx" else sass_of(part.cubin)

    return text


def parse_sass(symbol: str, text: str) -> Function:
    """nvdisasm's listing of one kernel; a jump names the address of its label."""
    instructions: list[tuple[int, str, str]] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for line in text.splitlines():
        if label := _LABEL.match(line):
            waiting.append(label[1])
        elif found := _LINE.match(line):
            address = int(found[1], 16)
            labels.update(dict.fromkeys(waiting, address))
            waiting.clear()
            instructions.append((address, found[2], found[3].strip()))

    def operands(written: str) -> str:
        return re.sub(r"`\((\.L_x_\d+)\)", lambda m: f"{labels[m[1]]:x}" if m[1] in labels else m[0], written)

    end = next((i for i, (_, name, _) in enumerate(instructions) if name == "BRA" and i + 1 < len(instructions)
                and instructions[i + 1][1] == "NOP"), len(instructions))  # fmt: skip
    return Function(symbol, tuple(SassInstruction(address, name, operands(rest)) for address, name, rest in instructions[:end]))


def gpu_functions(library: bytes) -> Mapping[str, Function]:
    """Instructions of every kernel, by symbol.  Raises as :func:`sass_of`."""
    return {symbol: parse_sass(symbol, sass_of(part.cubin)) for symbol, part in cuda_parts(library).items()}


@dataclass(frozen=True)
class Resources:
    """Of a thread: ``registers``, and ``local_bytes`` of memory for what does not fit them, or is indexed."""

    registers: int
    local_bytes: int


_REGISTER_COUNT, _FRAME_SIZE = 0x2F, 0x11  # attributes of the section .nv.info (EIATTR_REGCOUNT, EIATTR_FRAME_SIZE)


def resources_of(cubin: bytes) -> Resources:
    """Read from the attributes of a cubin's section .nv.info, each (format 4, attribute, size, symbol, value)."""
    info = section_of(cubin, ".nv.info")
    registers = local = 0
    at = 0
    while at + 4 <= len(info):
        form, attribute = info[at], info[at + 1]
        size = int.from_bytes(info[at + 2 : at + 4], "little")
        if form == 4:
            value = int.from_bytes(info[at + 8 : at + 12], "little") if size >= 8 else 0
            registers = max(registers, value) if attribute == _REGISTER_COUNT else registers
            local = max(local, value) if attribute == _FRAME_SIZE else local
            at += 4 + size
        else:
            at += 4
    return Resources(registers, local)
