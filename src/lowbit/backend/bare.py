"""A network as a program that needs no operating system, with its input and the output expected of it inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowbit.backend.driver import driver_source, prefix_of
from lowbit.backend.runtime_object import RUNTIME_FOLDER
from lowbit.backend.toolchain import C_FLAGS, compiler_for
from lowbit.errors import ConfigError
from lowbit.files import scratch_folder
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering.program import Program
from lowbit.targets import Target

__all__ = ["BARE_BOARDS", "BareBoard", "build_bare", "find_bare_board"]

_FOLDER = Path(__file__).resolve().parent / "bare_c"
_SPARE = 64  # readable bytes behind the last buffer, for loads wider than the data
_FLAGS = (
    *(flag for flag in C_FLAGS if flag not in ("-fPIC", "-pthread")),
    *("-ffreestanding", "-fno-builtin", "-fno-pic", "-ffunction-sections", "-mno-outline-atomics"),
    "-Wno-unused-function",  # of headers that the runtime shares with us
)
_LINK = ("-nostdlib", "-static", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-Wl,--build-id=none")


@dataclass(frozen=True)
class BareBoard:
    """``load``: address of the first instruction; ``ram_gibs``: bit i set = RAM begins in GiB i of the addresses."""

    load: int
    ram_gibs: int


BARE_BOARDS = {
    "raspi3b": BareBoard(0x80000, 0b0001),
    "raspi4b": BareBoard(0x80000, 0b0001),
    "virt": BareBoard(0x40080000, 0b0010),
}


def find_bare_board(name: str) -> BareBoard:
    """Raises ConfigError with the names there are."""
    if name not in BARE_BOARDS:
        raise ConfigError(f"unknown board {name!r}; boards: {', '.join(BARE_BOARDS)}")
    return BARE_BOARDS[name]


def _assembly(files: Sequence[str]) -> str:
    """Each file's bytes at a symbol of its name, 64-byte aligned."""
    pieces = [f'.balign 64\n.global {name}\n{name}:\n.incbin "{name}.bin"\n' for name in files]
    return '.section .rodata, "a"\n' + "".join(pieces) + f'.zero {_SPARE}\n.section .note.GNU-stack, "", %progbits\n'


def _words(array: np.ndarray) -> np.ndarray:
    """Float32 values, or positions (int64), as the 32-bit words that they are."""
    values = np.ascontiguousarray(array, "<i8" if array.dtype.kind == "i" else "<f4")
    return values.reshape(-1).view("<u4")


def _header(program: Program, board: BareBoard, inputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> str:
    lines = [
        "#define RAM_GIBS " + hex(board.ram_gibs),
        f"#define WEIGHT_BYTES {program.weight_bytes + _SPARE}",
        f"#define ARENA_BYTES {program.arena_bytes + _SPARE}",
        f"#define SCRATCH_BYTES {program.scratch_bytes + _SPARE}",
        "struct tensor { size_t elements; const uint32_t *values; };",
        "extern const unsigned char weights_file[];",
    ]
    for kind, arrays in (("input", inputs), ("expected", map(_words, expected))):
        arrays = list(arrays)
        lines += [f"extern const uint32_t {kind}_{i}[];" for i in range(len(arrays))]
        rows = ", ".join(f"{{{array.size}u, {kind}_{i}}}" for i, array in enumerate(arrays))
        lines.append(f"static const struct tensor {kind}[] = {{{rows}}};")
    lines += [f"static uint32_t output_{i}[{_words(array).size + _SPARE // 4}];" for i, array in enumerate(expected)]
    lines.append(f"static uint32_t *const output[] = {{{', '.join(f'output_{i}' for i in range(len(expected)))}}};")
    return "\n".join(lines) + "\n"


def build_bare(
    program: Program,
    kernels: dict[KernelSpec, bytes],
    weights: bytes,
    target: Target,
    board: str,
    inputs: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
) -> bytes:
    """The ELF file for ``board`` of :data:`BARE_BOARDS`.  ``inputs`` and ``expected`` outputs: float32.

    Raises ToolMissing without a cross compiler, ConfigError for an unknown board or a target that is not AArch64.
    """
    place = find_bare_board(board)
    if target.machine != "aarch64":
        raise ConfigError(f"{program.name} was compiled for {target.name}; bare metal is for AArch64 targets")
    compiler = compiler_for(target.machine, static=True)
    with scratch_folder() as folder:
        (folder / "generated.c").write_text(driver_source(program, target, prefix_of(program.name)))
        (folder / "bare.h").write_text(_header(program, place, inputs, expected))
        (folder / "weights_file.bin").write_bytes(weights)
        data = ["weights_file"]
        for kind, arrays in (("input", inputs), ("expected", expected)):
            for i, array in enumerate(arrays):
                data.append(f"{kind}_{i}")
                (folder / f"{kind}_{i}.bin").write_bytes(_words(array).tobytes())
        (folder / "data.S").write_text(_assembly(data))
        sources: list[str | Path] = [_FOLDER / "start.S", "data.S", _FOLDER / "bare.c", RUNTIME_FOLDER / "unpack.c"]
        objects = [f"part{i}.o" for i in range(len(sources))]
        for source, made in zip(sources, objects, strict=True):
            compiler.run([*_FLAGS, f"-I{RUNTIME_FOLDER}", "-I.", "-c", source, "-o", made], folder)
        for i, spec in enumerate(program.specs):
            objects.append(f"kernel{i}.o")
            (folder / objects[-1]).write_bytes(kernels[spec])
        script = (_FOLDER / "link.ld").read_text().replace("LOAD_ADDRESS", hex(place.load))
        (folder / "link.ld").write_text(script)
        compiler.run([*_LINK, *compiler.strip_debug, "-T", "link.ld", "-o", "bare.elf", *objects], folder)
        return (folder / "bare.elf").read_bytes()
