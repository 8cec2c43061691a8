"""The emulated driver: a libcuda.so.1 for machines without a GPU, on which networks for GPUs run as they would there, slowly."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from lowbit.backend.cuda.library import cuda_parts, kernel_name
from lowbit.emulate.cuda.emulation import emulation_library
from lowbit.emulate.cuda.host_text import HEADER
from lowbit.errors import ConfigError, LowbitError, ToolMissing
from lowbit.files import cache_folder
from lowbit.runtime.compiled import Compiled
from lowbit.targets.gpu import host_gpus

__all__ = ["emulated_driver", "emulated_gpu", "prepare", "prepare_texts"]

_SOURCE = Path(__file__).with_name("driver.cpp")
_SOURCES = ("emulation.py", "host_text.py")  # what decides about a compiled kernel beside its text and the header
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for path in (HEADER, *(Path(__file__).with_name(name) for name in _SOURCES)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _folder() -> Path:
    """Of compiled kernels; another one for another header, or another way from CUDA text to C++."""
    folder = cache_folder() / "emulation" / _version()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emulated_driver() -> Path:
    """The library, built where it is not there yet.  Raises ToolMissing without g++."""
    folder = _folder()
    root = Path(__file__).resolve().parents[3]
    command = f"PYTHONPATH={shlex.quote(str(root))} {shlex.quote(sys.executable)} -m lowbit.emulate.cuda.driver"
    macros = [f"-DKERNELS={_c_text(str(folder))}", f"-DBUILD={_c_text(command)}"]
    key = hashlib.sha256(_SOURCE.read_bytes() + repr(macros).encode()).hexdigest()[:16]
    path = folder / f"driver-{key}" / "libcuda.so.1"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "libcuda.so.1"
        try:
            done = subprocess.run(["g++", *_FLAGS, *macros, "-o", made, _SOURCE, "-ldl"], capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ToolMissing("the emulated driver is built with g++: apt-get install g++") from error
        if done.returncode:
            raise LowbitError(f"g++ does not take the emulated driver:\n{done.stderr[:4000]}")
        os.replace(made, path)
    return path


def _c_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hash(text: str) -> str:
    """FNV-1a of 64 bits, as driver.cpp has it."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def prepare_texts(texts: Iterable[str]) -> None:
    """Compiles those that are not compiled yet, all together."""
    folder = _folder()
    missing = {text: _hash(text) for text in texts if not (folder / _hash(text)).exists()}
    if not missing:
        return
    name = hashlib.sha256("".join(sorted(missing.values())).encode()).hexdigest()[:24]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = emulation_library({kernel_name(text): text for text in missing}, Path(scratch))
        library = folder / f"{name}.so"
        os.replace(made, library)
        for link in missing.values():
            place = Path(scratch) / link
            place.write_text(str(library))
            os.replace(place, folder / link)


def prepare(network: Compiled) -> None:
    """Compiles the kernels of a network for GPUs in one go; the emulated driver would do so one by one when it is opened."""
    prepare_texts(part.text for part in cuda_parts(network.section("library.so")).values())


@contextmanager
def emulated_gpu(*capabilities: str, memory_bytes: int = 2 << 30) -> Iterator[Path]:
    """While it is open, networks find emulated GPUs of these compute capabilities ("8.0"; default one of 9.0) and no others.

    The driver of a process is opened once: devices and memory hold for all networks of this process from the first one on.
    Raises ConfigError where these are others."""
    wanted = capabilities or ("9.0",)
    names = {
        "LOWBIT_CUDA_DRIVER": str(emulated_driver()),
        "LOWBIT_EMULATED_GPUS": ",".join(wanted),
        "LOWBIT_EMULATED_MEMORY": str(memory_bytes),
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        found = tuple(f"{major}.{minor}" for major, minor in (gpu.capability for gpu in host_gpus()[0]))
        if found != wanted:
            raise ConfigError(f"this process has opened emulated GPUs {', '.join(found)}; for {', '.join(wanted)} start another")
        yield Path(names["LOWBIT_CUDA_DRIVER"])
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


if __name__ == "__main__":  # as driver.cpp calls it
    prepare_texts(Path(argument).read_text() for argument in sys.argv[1:])
