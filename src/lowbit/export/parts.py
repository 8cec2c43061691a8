"""From an artifact back to the parts it was linked from.

An artifact holds a shared library, which cannot be linked into a static program.  It also holds the program, whose
kernels are in the cache or are generated again from their specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.backend.table import backend_of
from lowbit.errors import ConfigError, ToolMissing
from lowbit.kernels.spec import KernelSpec
from lowbit.lowering import Program
from lowbit.progress import stage
from lowbit.targets import Target

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["Parts", "parts_of"]


@dataclass(frozen=True, eq=False)
class Parts:
    """What the backend links.  ``weights``: the weight file of ``program``."""

    program: Program
    kernels: Mapping[KernelSpec, bytes]
    weights: bytes
    target: Target


def parts_of(network: Compiled) -> Parts:
    """The parts of ``network``.

    Raises ConfigError for a network for GPUs, ToolMissing if a kernel has to be generated and TVM is not installed,
    ArtifactError as ``Compiled.program``.
    """
    program, target = network.program(), network.target
    if target.arch:
        raise ConfigError(
            f"{network.name} is for {target.name}: what runs on a GPU opens NVIDIA's driver, which static programs and libraries "
            "cannot; lowbit export --library writes a shared library"
        )
    try:
        with stage("compile kernels", len(program.specs)) as advance:
            kernels = backend_of(target).compile(program.specs, target, lambda *_: advance())
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{network.name}: its kernels are not in the cache; generating them needs {error.name}") from None
    return Parts(program, kernels, network.section("weights.bin"), target)
