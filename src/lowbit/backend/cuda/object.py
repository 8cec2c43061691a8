"""What a kernel of a GPU is between compiling and linking: its text, machine code and launch, as bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from lowbit.backend.cache import cached_objects, entry_path
from lowbit.backend.cuda.nvrtc import compile_kernel, nvrtc_version
from lowbit.errors import ArtifactError
from lowbit.kernels.gpu.launch import Launch
from lowbit.kernels.spec import KernelSpec
from lowbit.targets import Target

__all__ = ["CudaObject", "compile_cuda_kernels", "made_with", "read_object"]

_MAGIC = b"lowbit CUDA kernel 1\n"
_SOURCES = ("object.py", "text.py", "nvrtc.py")


@dataclass(frozen=True, eq=False)
class CudaObject:
    """``text``: CUDA C without the preamble;  ``cubin``: machine code for ``arch``;  ``ptx``: for newer architectures;
    ``nvrtc``: the version that made both."""

    symbol: str
    arch: str
    nvrtc: str
    launch: Launch
    text: str
    cubin: bytes
    ptx: bytes

    def to_bytes(self) -> bytes:
        """Inverse of :func:`read_object`."""
        parts = [self.text.encode(), self.cubin, self.ptx]
        said = {"symbol": self.symbol, "arch": self.arch, "nvrtc": self.nvrtc, "launch": asdict(self.launch)}
        head = json.dumps({**said, "sizes": [len(part) for part in parts]}, sort_keys=True)
        return _MAGIC + head.encode() + b"\n" + b"".join(parts)


def read_object(data: bytes) -> CudaObject:
    """Raises ArtifactError for bytes that are none."""
    if not data.startswith(_MAGIC):
        raise ArtifactError("an object that is no CUDA kernel")
    head, _, rest = data[len(_MAGIC) :].partition(b"\n")
    try:
        said = json.loads(head)
        text, cubin, ptx = (int(size) for size in said["sizes"])
        launch = Launch(**{**said["launch"], "grid": tuple(said["launch"]["grid"])})
        parts = rest[:text].decode(), rest[text : text + cubin], rest[text + cubin : text + cubin + ptx]
        made = CudaObject(said["symbol"], said["arch"], said["nvrtc"], launch, *parts)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"a CUDA kernel whose head cannot be read: {error!r}") from None
    if len(rest) != text + cubin + ptx:
        raise ArtifactError(f"{made.symbol}: a CUDA kernel of {len(rest)} bytes that says it has {text + cubin + ptx}")
    return made


@cache
def made_with() -> str:
    """What beside specs and kernels' sources decides about an object: NVRTC's version and the files that use it."""
    digest = hashlib.sha256(nvrtc_version().encode())
    for name in _SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def compile_cuda_kernels(
    specs: Iterable[KernelSpec],
    target: Target,
    progress: Callable[[KernelSpec, bool], None] | None = None,
    jobs: int | None = None,
) -> dict[KernelSpec, bytes]:
    """``CudaObject.to_bytes`` of every distinct spec, from the cache where it is there.  Raises ToolMissing without NVRTC."""
    version = made_with()

    def make(spec: KernelSpec) -> bytes:
        from lowbit.backend.cuda.text import PREAMBLE, cuda_text

        made = cuda_text(spec, target)
        compiled = compile_kernel(PREAMBLE + made.text, target.arch)
        parts = (made.symbol, target.arch, nvrtc_version(), made.launch, made.text, compiled.cubin, compiled.ptx.rstrip(b"\0"))
        return CudaObject(*parts).to_bytes()

    return cached_objects(specs, lambda spec: entry_path(spec, target, version), make, progress, jobs)
