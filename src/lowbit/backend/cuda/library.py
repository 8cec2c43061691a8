"""The kernels in the library of a network for GPUs, read back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowbit.backend.elf import symbols_of
from lowbit.errors import ArtifactError

__all__ = ["CudaPart", "cuda_parts", "kernel_name"]

_NAME = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')


@dataclass(frozen=True, eq=False)
class CudaPart:
    """One kernel as it lies there (``object.CudaObject``)."""

    symbol: str
    text: str
    cubin: bytes
    ptx: bytes


def kernel_name(text: str) -> str:
    """Of CUDA C.  Raises ValueError where there is no kernel."""
    name = _NAME.search(text)
    if name is None:
        raise ValueError("a text without a kernel")
    return name[1]


def cuda_parts(library: bytes) -> dict[str, CudaPart]:
    """Symbol -> kernel, in the order of the library's table.  Raises ArtifactError for a library without such."""
    symbols = symbols_of(library)
    found: dict[str, CudaPart] = {}
    for i in range(len(symbols)):
        if f"kernel{i}_cu" not in symbols:
            break
        try:
            text = symbols[f"kernel{i}_cu"].rstrip(b"\0").decode()
            part = CudaPart(kernel_name(text), text, symbols[f"kernel{i}_cubin"], symbols[f"kernel{i}_ptx"].rstrip(b"\0"))
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"the library's kernel {i} cannot be read: {error!r}") from None
        found[part.symbol] = part
    if not found:
        raise ArtifactError("the library has no CUDA kernels")
    return found
