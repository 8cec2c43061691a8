"""Machine code read back from a shared library: functions, loops, and the loop where the work is done."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lowbit.errors import ArtifactError, ToolMissing
from lowbit.files import scratch_folder
from lowbit.reporting.arm_instructions import ArmInstruction
from lowbit.reporting.instructions import Instruction, loop_work
from lowbit.targets.host import host_machine

__all__ = ["Function", "disassemble", "parse_objdump"]

_SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\t(?:((?:\{\S+\} |(?:rep|repz|repnz|lock|data16|bnd|notrack|cs|ds) )*\S+)\s*(.*?))?\s*$")
_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64"}  # e_machine of ELF
_INSTALL = {"x86_64": "binutils-x86-64-linux-gnu", "aarch64": "binutils-aarch64-linux-gnu"}


@dataclass(frozen=True)
class Function:
    """The instructions of one symbol, in address order."""

    symbol: str
    instructions: tuple[Instruction, ...]

    def loops(self) -> list[tuple[Instruction, ...]]:
        """Innermost loops: ranges [target, jump] of backward jumps that contain no other such range."""
        index = {i.address: k for k, i in enumerate(self.instructions)}
        spans = set()
        for k, instruction in enumerate(self.instructions):
            target = instruction.jumps_to
            start = None if target is None else index.get(target)
            if start is not None and start <= k:
                spans.add((start, k))
        inner = [a for a in spans if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in spans)]
        return [self.instructions[start : end + 1] for start, end in sorted(inner)]

    def hot_loop(self) -> tuple[Instruction, ...]:
        """The innermost loop with the most integer multiplications; among equals the one with the most
        float ones, then the longest.  (An epilogue may multiply more often, but in float.)

        A function without any loop is its own hot loop.
        """

        def heat(loop: tuple[Instruction, ...]) -> tuple[int, int, int]:
            work = loop_work(loop)
            return work.integer_multiplies, work.float_multiplies, len(loop)

        return max(self.loops(), key=heat, default=self.instructions)


def parse_objdump(text: str) -> dict[str, Function]:
    """``objdump -d --no-show-raw-insn`` of x86-64 or AArch64 code -> functions by symbol."""
    arm = re.search(r"file format elf64-(littleaarch64|aarch64)", text) is not None
    make, comment = (ArmInstruction, "//") if arm else (Instruction, "#")
    bodies: dict[str, list[Instruction]] = {}
    body: list[Instruction] | None = None
    for line in text.splitlines():
        if match := _SYMBOL.match(line):
            body = bodies.setdefault(match[1], [])
        elif body is not None and (match := _LINE.match(line)) and match[2]:
            body.append(make(int(match[1], 16), match[2], match[3].split(comment)[0].rstrip()))
    return {symbol: Function(symbol, tuple(_trim(body))) for symbol, body in bodies.items()}


def _trim(body: Sequence[Instruction]) -> Sequence[Instruction]:
    """Without the padding after the last instruction."""
    end = len(body)
    while end and re.match(r"(data16 |cs )*nop|int3|udf|xchg$", body[end - 1].mnemonic):
        end -= 1
    return body[:end]


def _objdump(library: bytes) -> str:
    machine = _MACHINES.get(int.from_bytes(library[18:20], "little"), host_machine())
    names = [f"{machine}-linux-gnu-objdump", "llvm-objdump", *(f"llvm-objdump-{version}" for version in range(22, 13, -1))]
    if machine == host_machine():
        names.insert(0, "objdump")
    for name in names:
        if path := shutil.which(name):
            return path
    package = "binutils" if machine == host_machine() else _INSTALL[machine]
    raise ToolMissing(f"an objdump for {machine} reads the machine code and none is installed: apt-get install {package}")


def disassemble(library: bytes) -> Mapping[str, Function]:
    """Functions of an ELF file, by symbol.  Raises ToolMissing without an objdump for its architecture,
    ArtifactError if that cannot read the file."""
    objdump = _objdump(library)
    with scratch_folder() as folder:
        path = folder / "library.so"
        path.write_bytes(library)
        done = subprocess.run([objdump, "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise ArtifactError(f"objdump cannot read the artifact's library: {done.stderr.strip()}")
    return parse_objdump(done.stdout)
