"""Kernels' CUDA text, compiled with g++ behind the header and run on numpy arrays."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lowbit.emulate.cuda.host_text import HEADER, host_text, merged
from lowbit.errors import LowbitError, ToolMissing

__all__ = ["Emulation", "compile_text", "emulation_library", "emulation_of"]

_FLAGS = (
    "-std=c++20", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", "-fno-strict-aliasing",
    "-fsanitize=alignment,bounds", "-fno-sanitize-recover=all", "-static-libubsan",
)  # fmt: skip
_GUARD = 4096  # bytes around an array, which no kernel may write
_FILL = 0xA5
_POINTERS = 16


def compile_text(text: str, out: Path, *flags: str) -> None:
    """C++ ``text``, which begins with that of the header, to a shared library.  Raises ToolMissing without g++, LowbitError with
    its words where it fails."""
    source = out.with_suffix(".cpp")
    source.write_text(text)
    try:
        done = subprocess.run(["g++", *_FLAGS, *flags, "-o", str(out), str(source)], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ToolMissing("CUDA text is run on a CPU by way of g++: apt-get install g++") from error
    if done.returncode:
        raise LowbitError(f"g++ does not take the kernels' text:\n{done.stderr[:4000]}")


def emulation_of(texts: Mapping[str, str], folder: Path, *flags: str) -> Emulation:
    """Kernels by symbol -> their CUDA text (without TVM's preamble), compiled together into ``folder``.  Raises as
    :func:`compile_text`."""
    return Emulation(emulation_library(texts, folder, *flags))


def emulation_library(texts: Mapping[str, str], folder: Path, *flags: str) -> Path:
    """The library of :func:`emulation_of`: its ``emu_run`` launches a kernel by name and returns what went wrong, "" nothing."""
    rows = "".join(f'    {{"{symbol}", emu::call<{symbol}>}},\n' for symbol in texts)
    main = f"""
static const struct {{ const char *name; void (*run)(void **); }} kernels[] = {{
{rows}}};
extern "C" const char *emu_run(const char *name, uint x, uint y, uint z, uint count, uint seed, void **values) {{
    for (auto &kernel : kernels)
        if (!strcmp(kernel.name, name)) {{
            emu::seed = seed;
            emu::launch({{x, y, z}}, count, kernel.run, values);
            return emu::failure;
        }}
    return "no kernel of this name";
}}
"""
    library = folder / "emulation.so"
    compile_text(HEADER.read_text() + host_text(merged(texts.values())) + main, library, *flags)
    return library


class Emulation:
    """Compiled kernels."""

    def __init__(self, library: Path) -> None:
        self._run = ctypes.CDLL(str(library)).emu_run
        self._run.restype = ctypes.c_char_p

    def run(
        self, symbol: str, grid: tuple[int, int, int], threads: int, arguments: Sequence[np.ndarray | int | None], seed: int = 1
    ) -> list[np.ndarray | None]:
        """One launch on copies of ``arguments``, in the order of the kernel's, None for a null pointer, numbers for int32;
        returns
        these copies afterwards, None for what is none.  ``seed``: of the order of blocks and threads, and of the garbage in
        shared memory.

        Raises LowbitError for whatever the header finds, and for a write outside an array."""
        held = [_Guarded(array) if isinstance(array, np.ndarray) else None for array in arguments]
        given = [array if guarded is None else guarded.address for array, guarded in zip(arguments, held, strict=True)]
        addresses = (ctypes.c_void_p * _POINTERS)(*given)  # type: ignore[misc]
        values = (ctypes.c_void_p * _POINTERS)(*(ctypes.addressof(addresses) + 8 * i for i in range(_POINTERS)))
        failure = self._run(symbol.encode(), *(ctypes.c_uint32(n) for n in (*grid, threads, seed)), values)
        if failure:
            raise LowbitError(f"{symbol} on the emulation: {failure.decode()}")
        for index, guarded in enumerate(held):
            if guarded is not None and not guarded.whole:
                raise LowbitError(f"{symbol} on the emulation: a write outside argument {index}")
        return [None if guarded is None else guarded.array for guarded in held]


class _Guarded:
    """A copy of an array between guard bytes, at an address that is a multiple of 256 as those of device memory are."""

    def __init__(self, array: np.ndarray) -> None:
        raw = np.full(array.nbytes + 2 * _GUARD + 256, _FILL, np.uint8)
        at = _GUARD + -(raw.ctypes.data + _GUARD) % 256
        self._before, inner, self._behind = raw[:at], raw[at : at + array.nbytes], raw[at + array.nbytes :]
        inner[...] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.address = inner.ctypes.data
        self.array = inner.view(array.dtype).reshape(array.shape)

    @property
    def whole(self) -> bool:
        return bool((self._before == _FILL).all() and (self._behind == _FILL).all())
