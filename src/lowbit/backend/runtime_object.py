"""The C runtime as one object file, compiled once per compiler and architecture."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from lowbit.backend.cache import cache_folder
from lowbit.backend.toolchain import C_FLAGS, Compiler
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
    """Relocatable object of the whole runtime; from ``cache_folder()/runtime`` if it is there and whole.

    An entry is ``sha256(object) | object``.  A cache that cannot be written is no error.
    """
    key = hashlib.sha256(repr((compiler, C_FLAGS, sorted(_EXTRA.items()), target.triple)).encode())
    for source in sorted(RUNTIME_FOLDER.glob("*.[ch]")):
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    path = cache_folder() / "runtime" / f"{key.hexdigest()}.o"
    with suppress(OSError):
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() == data[:32]:
            return data[32:]
    with tempfile.TemporaryDirectory(prefix="lowbit-") as folder:
        content = _compile(compiler, Path(folder))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return content
