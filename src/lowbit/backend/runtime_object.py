"""The C runtime as one object file, compiled once per compiler and architecture."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lowbit.backend.cache import read_entry, write_entry
from lowbit.backend.toolchain import C_FLAGS, Compiler
from lowbit.files import cache_folder, scratch_folder
from lowbit.targets import Target

__all__ = ["RUNTIME_FOLDER", "runtime_object"]

RUNTIME_FOLDER = Path(__file__).resolve().parent / "runtime_c"

# Unpacking weights is the one thing worth vectorizing.
_EXTRA = {"unpack.c": ("-O3",)}


def _compile(compiler: Compiler, folder: Path) -> bytes:
    objects = []
    for source in sorted(RUNTIME_FOLDER.glob("*.c")):
        compiler.run([*C_FLAGS, *_EXTRA.get(source.name, ()), "-c", source, "-o", f"{source.stem}.o"], folder)
        objects.append(f"{source.stem}.o")
    compiler.run(["-r", "-nostdlib", "-o", "runtime.o", *objects], folder)
    return (folder / "runtime.o").read_bytes()


def runtime_object(compiler: Compiler, target: Target) -> bytes:
    """Relocatable object of the whole runtime; from ``cache_folder()/runtime`` if it is there and whole."""
    key = hashlib.sha256(repr((compiler, C_FLAGS, sorted(_EXTRA.items()), target.triple)).encode())
    for source in sorted(RUNTIME_FOLDER.glob("*.[ch]")):
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    path = cache_folder() / "runtime" / f"{key.hexdigest()}.o"
    if (known := read_entry(path)) is not None:
        return known
    with scratch_folder() as folder:
        content = _compile(compiler, folder)
    write_entry(path, content)
    return content
