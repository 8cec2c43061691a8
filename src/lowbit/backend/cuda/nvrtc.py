"""NVRTC, NVIDIA's compiler as a library: CUDA C to machine code, without a GPU and without a CUDA toolkit."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lowbit.errors import LowbitError, ToolMissing

__all__ = ["INSTALL", "Compiled", "compile_cuda", "compile_kernel", "nvidia_file", "nvrtc_version"]

INSTALL = "pip install 'lowbit[cuda]' (or nvidia-cuda-nvrtc; nvidia-cuda-nvrtc-cu12 for drivers of CUDA 12)"

# No contraction of products and sums.  What kernels need of that they say themselves (__fmul_rn).
_OPTIONS = ("-fmad=false", "-std=c++17")


@dataclass(frozen=True, eq=False)
class Compiled:
    """``cubin``: an ELF file of machine code for one architecture;  ``ptx``: the same for a driver to compile;  ``log``: what
    NVRTC said, with the option ``--ptxas-options=-v`` also what each kernel takes."""

    cubin: bytes
    ptx: bytes
    log: str


@cache
def nvidia_file(pattern: str) -> Path | None:
    """The newest file ``pattern`` (a glob) of the folders that wheels of NVIDIA's install into; None where there is none."""
    spec = find_spec("nvidia")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec is not None else []
    found = [path for folder in folders for path in folder.glob(f"*/{pattern}") if path.is_file()]
    return max(found, key=lambda path: ([int(n) for n in re.findall(r"\d+", path.name)], str(path)), default=None)


@cache
def _library() -> ctypes.CDLL:
    path = nvidia_file("lib/libnvrtc.so.*")
    if path is None:
        raise ToolMissing(f"NVRTC makes the kernels of GPUs and is not installed: {INSTALL}")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ToolMissing(f"NVRTC cannot be loaded ({error}): {INSTALL}") from None


@cache
def nvrtc_version() -> str:
    """``13.0``.  Raises ToolMissing with the line that installs it."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def _taken(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    if getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) or not size.value:
        return b""
    data = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, data)
    return data.raw


def compile_cuda(text: str, arch: str, options: Sequence[str] = ()) -> Compiled:
    """``arch``: as ``sm_80``.  Deterministic for one version of NVRTC.  Raises ToolMissing, LowbitError with NVRTC's words."""
    library, program = _library(), ctypes.c_void_p()
    if library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None):
        raise LowbitError("NVRTC takes no program: out of memory")
    try:
        words = [f"--gpu-architecture={arch}", *_OPTIONS, *options]
        failed = library.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*(w.encode() for w in words)))
        said = _taken(library, program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        if failed:
            raise LowbitError(f"NVRTC {nvrtc_version()} refuses a kernel for {arch}:\n{said[:2000]}")
        return Compiled(_taken(library, program, "CUBIN"), _taken(library, program, "PTX"), said)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


_SAID = "--ptxas-options=-v"
_LEVELS = ("0", "10")  # of how much ptxas does to save registers; its own choice is 5


def compile_kernel(text: str, arch: str) -> Compiled:
    """As :func:`compile_cuda`, of one kernel.  Where ptxas keeps registers in memory, to have more threads, it is asked again to
    save them less, and more: the one with the fewest bytes in memory is taken."""
    best = compile_cuda(text, arch, [_SAID])
    for level in _LEVELS:
        if _spilled(best):
            other = compile_cuda(text, arch, [_SAID, f"--ptxas-options=--register-usage-level={level}"])
            best = min(best, other, key=_spilled)
    return best


def _spilled(made: Compiled) -> int:
    """Bytes that are stored and loaded in place of registers."""
    return sum(map(int, re.findall(r"(\d+) bytes spill", made.log)))
