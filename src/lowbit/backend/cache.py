"""Compiled kernels on disk, so that a network compiled twice waits once.

An entry is ``sha256(object) | object`` in a file named after everything the object depends on: the spec,
the target, the versions of TVM and the sources that generate kernels, not those that choose them.  Entries are
written to a temporary file and renamed, so readers see a whole entry or none; one whose checksum fails is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from lowbit.files import cache_folder
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import Target

__all__ = [
    "cached_objects",
    "compile_kernels",
    "entry_path",
    "generating_sources",
    "generator_version",
    "read_entry",
    "shared_version",
    "write_entry",
]

_PACKAGE = Path(__file__).resolve().parent.parent
_CHOOSING = {"selection", "forms"}
_COMPARING = ("cases.py", "case.py", "reference.py")
_CHECKSUM = hashlib.sha256().digest_size


@cache
def generator_version() -> str:
    """Hash of what turns a spec into code: TVM's versions and lowbit's generating sources."""
    return _version(generating_sources())


@cache
def shared_version() -> str:
    """The same without what belongs to a family of forms alone."""
    return _version([path for path in generating_sources() if path.parent.name != "arithmetic"])


def _version(sources: list[Path]) -> str:
    digest = hashlib.sha256()
    for package in ("apache-tvm", "apache-tvm-ffi"):
        with suppress(metadata.PackageNotFoundError):
            digest.update(f"{package}={metadata.version(package)};".encode())
    for path in sources:
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def generating_sources() -> list[Path]:
    """All of ``kernels`` but what chooses (``selection``), what forms say of themselves (``forms``): what of that is
    generated is in ``KernelSpec.generator``; and what kernels are compared with (references and cases)."""
    kernels = _PACKAGE / "kernels"
    sources = [path for path in kernels.rglob("*.py") if not path.name.endswith(_COMPARING)]
    generating = [path for path in sources if not _CHOOSING & set(path.relative_to(kernels).parts)]
    return sorted([*generating, _PACKAGE / "backend" / "codegen.py"])


def entry_path(spec: KernelSpec, target: Target, made_with: str = "") -> Path:
    """Where the object of ``spec`` for ``target`` is kept.  ``made_with``: what else decides how it is made."""
    parts = [spec.digest(), spec.generator, target.machine_json, generator_version(), *([made_with] if made_with else [])]
    key = json.dumps(parts, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()
    return cache_folder() / "kernels" / name[:2] / f"{name[2:]}.o"


def read_entry(path: Path) -> bytes | None:
    """The content of an entry; None where there is none or its checksum fails."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, content = data[:_CHECKSUM], data[_CHECKSUM:]
    return content if content and hashlib.sha256(content).digest() == checksum else None


def write_entry(path: Path, content: bytes) -> None:
    """Atomic; a cache that cannot be written (read-only home, full disk) is no error."""
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


def compile_kernels(
    specs: Iterable[KernelSpec],
    target: Target,
    progress: Callable[[KernelSpec, bool], None] | None = None,
    jobs: int | None = None,
) -> dict[KernelSpec, bytes]:
    """The object of every distinct spec, in order of first appearance.

    ``progress(spec, cached)`` is called once a kernel, from the calling thread.  ``jobs``: compiling
    threads (LLVM runs without Python's lock); default: the CPUs of this process.  TVM is imported only
    when some kernel is not in the cache.
    """

    def make(spec: KernelSpec) -> bytes:
        from lowbit.backend.codegen import generate

        return generate(spec, target).object

    return cached_objects(specs, lambda spec: entry_path(spec, target), make, progress, jobs)


def cached_objects(
    specs: Iterable[KernelSpec],
    place: Callable[[KernelSpec], Path],
    make: Callable[[KernelSpec], bytes],
    progress: Callable[[KernelSpec, bool], None] | None = None,
    jobs: int | None = None,
) -> dict[KernelSpec, bytes]:
    """:func:`compile_kernels`, of whatever ``make`` makes, kept at ``place``."""
    distinct = list(dict.fromkeys(specs))
    objects: dict[KernelSpec, bytes] = {}
    for spec in distinct:
        content = read_entry(place(spec))
        if content is not None:
            objects[spec] = content
            if progress:
                progress(spec, True)
    missing = [spec for spec in distinct if spec not in objects]
    if missing:
        import tvm  # noqa: F401  here: threads that import it at the same time find it half made

        with ThreadPoolExecutor(max_workers=jobs or len(os.sched_getaffinity(0))) as pool:
            for spec, made in zip(missing, pool.map(make, missing), strict=True):
                write_entry(place(spec), made)
                objects[spec] = made
                if progress:
                    progress(spec, False)
    return {spec: objects[spec] for spec in distinct}
