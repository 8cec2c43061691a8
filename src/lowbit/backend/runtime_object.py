"""The C runtime as one object file, compiled once per compiler and architecture."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lowbit.backend.cache import read_entry, write_entry
from lowbit.backend.toolchain import C_FLAGS, Compiler
from lowbit.files import cache_folder, scratch_folder
from lowbit.targets import Target

__all__ = ["RUNTIME_FOLDER", "emulation_object", "runtime_object"]

RUNTIME_FOLDER = Path(__file__).resolve().parent / "runtime_c"
_EMULATED_FOLDER = RUNTIME_FOLDER.parent / "emulated_c"

# Unpacking weights is worth vectorizing; and products of tiles, which tests wait for.
_EXTRA = {"unpack.c": ("-O3",), "tiles.c": ("-O3",)}

_ON_CPU = "network.c"  # what runs a network on a CPU; the folder "cuda" has what does so on a GPU


def _compile(compiler: Compiler, sources: list[Path], folder: Path, options: tuple[str, ...]) -> bytes:
    objects = []
    for source in sources:
        compiler.run([*C_FLAGS, *options, *_EXTRA.get(source.name, ()), "-c", source, "-o", f"{source.stem}.o"], folder)
        objects.append(f"{source.stem}.o")
    compiler.run(["-r", "-nostdlib", "-o", "whole.o", *objects], folder)
    return (folder / "whole.o").read_bytes()


def _object(sources: list[Path], compiler: Compiler, target: Target, options: tuple[str, ...] = ()) -> bytes:
    """Of these files; from ``cache_folder()/runtime`` if it is there and whole."""
    key = hashlib.sha256(repr((compiler, C_FLAGS, options, sorted(_EXTRA.items()), target.triple)).encode())
    for folder in sorted({source.parent for source in sources}):
        for source in sorted(folder.glob("*.[ch]")):
            key.update(source.name.encode() + b"\0" + source.read_bytes())
    path = cache_folder() / "runtime" / f"{key.hexdigest()}.o"
    if (known := read_entry(path)) is not None:
        return known
    with scratch_folder() as scratch:
        content = _compile(compiler, sources, scratch, options)
    write_entry(path, content)
    return content


def runtime_object(compiler: Compiler, target: Target) -> bytes:
    """Relocatable object of the whole runtime."""
    everywhere = sorted(RUNTIME_FOLDER.glob("*.c"))
    if not target.arch:
        return _object(everywhere, compiler, target)
    shared = [path for path in everywhere if path.name != _ON_CPU]
    return _object([*shared, *sorted((RUNTIME_FOLDER / "cuda").glob("*.c"))], compiler, target, (f"-I{RUNTIME_FOLDER}",))


def emulation_object(compiler: Compiler, target: Target) -> bytes:
    """Relocatable object of the functions that stand for the instructions ``target.emulated``."""
    return _object(sorted(_EMULATED_FOLDER.glob("*.c")), compiler, target, (f"-march={target.march}",))
